"""A labelling job as the flags of a command describe it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aifeedback.cli.flags import gates_of, inputs_of, max_failed_of, orders_of, renames, seconds

if TYPE_CHECKING:
    from aifeedback.cli.main import Common
    from aifeedback.job import Job


def job_of(flags: Mapping[str, Any], common: Common, command: str) -> Job:
    """The job that the flags of `command` describe, by the names of their parameters. Raises SettingsError, TemplateError."""
    from aifeedback.cli.critic_options import EndpointFlags, critic, critics
    from aifeedback.job import Job
    from aifeedback.labeling import LabelSettings
    from aifeedback.lanes import LaneSettings, name_of
    from aifeedback.prices import read_price
    from aifeedback.prompt_library import find_criteria, find_template, read_examples
    from aifeedback.publish import rest_path
    from aifeedback.settings import (
        AskingSettings,
        AskSettings,
        InputSettings,
        OutputSettings,
        ReconcileSettings,
        whole_weights,
    )

    endpoint = EndpointFlags(
        flags["base_url"],
        flags["api_key_env"],
        flags["header"] or [],
        flags["query"] or [],
        flags["extra_body"],
        flags["given"],
    )
    orders = orders_of(flags["orders"])
    ask = AskSettings(
        orders, flags["samples"], flags["temperature"], flags["max_tokens"], flags["reasoning_effort"], flags["seed"]
    )
    asking = AskingSettings(
        flags["retries"],
        seconds(flags["patience"], "--patience") if flags["patience"] else None,
        flags["max_requests"],
        flags["max_cost"],
        read_price(flags["price"]),
    )
    file, named = common.config.path, common.config.critics
    asked = critics(flags["critic"] or [], endpoint, named, file=file, command=command)
    strong = flags["escalate_to"]
    return Job(
        inputs=inputs_of(flags["inputs"], command),
        critics=asked,
        escalate_to=critic(strong, endpoint, named, file=file, flag="--escalate-to") if strong else None,
        template=find_template(flags["template"]),
        criteria=find_criteria(flags["criteria"]),
        examples=read_examples(flags["examples"]) if flags["examples"] else (),
        output=flags["output"],
        rest=rest_path(flags["output"]) if flags["rest"] is None else flags["rest"],
        summary=flags["summary"],
        store=None if flags["no_store"] else Path(flags["store"]),
        input_settings=InputSettings(flags["format"], renames(flags["map"] or []), flags["pairs"], flags["seed"]),
        label_settings=LabelSettings(
            ask=ask,
            reconcile=ReconcileSettings(
                flags["on_conflict"],
                flags["min_preference"],
                flags["panel"],
                whole_weights({name_of(each): each.weight for each in asked}),
            ),
            asking=asking,
            limit=flags["limit"],
            reask_unparsed=flags["reask"] == "unparsed",
            soft=flags["soft"],
        ),
        lane_settings=LaneSettings(
            flags["concurrency"], flags["rpm"], flags["tpm"], seconds(flags["timeout"], "--timeout")
        ),
        output_settings=OutputSettings(
            flags["shape"], flags["meta"], flags["explain"], flags.get("length_control", "off")
        ),
        gates=gates_of(flags),
        junit=flags["junit"],
        max_failed=max_failed_of(flags["max_failed"]),
        replay=flags.get("replay", False),
    )
