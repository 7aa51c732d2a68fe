"""The least that labelling can be: read pairs, ask both orders, match one regex, write lines. No retry, no store.

    python benchmarks/bare_client.py PAIRS OUTPUT BASE_URL CONCURRENCY

It stands for what aiohttp and orjson cost by themselves; `aifeedback label` is measured against it.
"""

from __future__ import annotations

import asyncio
import re
import sys

import aiohttp
import orjson

VERDICT = re.compile(r'"verdict": "([AB])"')
INSTRUCTIONS = (
    "You compare two responses to the same prompt and decide which one is better: more helpful, more correct, more "
    'complete. Answer with a JSON object and nothing else: {"analysis": "the differences that matter", "verdict": "A or B"}'
)


async def main(source: str, target: str, base_url: str, concurrency: int) -> None:
    """Label `source` into `target`."""
    connector = aiohttp.TCPConnector(limit=concurrency)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-none"}
    waiting: asyncio.Queue[tuple[int, str, bool]] = asyncio.Queue()
    with open(source, "rb") as file:
        pairs = [orjson.loads(line) for line in file]
    for number, pair in enumerate(pairs):
        for first, second, swapped in (
            (pair["response_a"], pair["response_b"], False),
            (pair["response_b"], pair["response_a"], True),
        ):
            text = f"{pair['prompt']}\n\nA:\n{first}\n\nB:\n{second}\n"
            waiting.put_nowait((number, text, swapped))
    verdicts: dict[int, list[bool]] = {}

    async def ask(session: aiohttp.ClientSession) -> None:
        while not waiting.empty():
            number, text, swapped = waiting.get_nowait()
            messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": text}]
            body = {"model": "stub", "messages": messages, "temperature": 0, "max_tokens": 2048}
            async with session.post(f"{base_url}/chat/completions", data=orjson.dumps(body)) as response:
                reply = orjson.loads(await response.read())
            found = VERDICT.search(reply["choices"][0]["message"]["content"])
            assert found is not None, reply
            verdicts.setdefault(number, []).append((found[1] == "A") != swapped)

    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(ask(session) for _ in range(concurrency)))
    with open(target, "wb") as file:
        for number, pair in enumerate(pairs):
            one, other = verdicts[number]
            if one == other:
                chosen, rejected = ("response_a", "response_b") if one else ("response_b", "response_a")
                row = {"prompt": pair["prompt"], "chosen": pair[chosen], "rejected": pair[rejected]}
                file.write(orjson.dumps(row) + b"\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
