"use strict";
// The pairs: found, filtered, sorted and shown, a page at a time. Text of the data goes in by textContent alone.
(() => {
  const PAGE = 25;
  const { pairs, statuses, kinds, total } = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const kindNames = new Map(kinds), statusNames = new Map(statuses);
  const chosen = { words: [], status: new Set(), kind: new Set(), sort: "contested" };
  const opened = new Set();
  let matching = [], page = 0;

  // Each pair's own place in the address: its id, numbered where several bear the same.
  const byKey = new Map();
  pairs.forEach((pair, number) => {
    const id = pair.id || `line-${pair.l || number + 1}`;
    let key = id;
    for (let n = 2; byKey.has(key); n += 1) key = `${id}~${n}`;
    Object.assign(pair, { key, number, s: pair.s || "", k: pair.k || [] });
    byKey.set(key, pair);
  });

  const format = (n) => n.toLocaleString("en-US");
  const plural = (n, noun) => `${format(n)} ${noun}${n === 1 ? "" : "s"}`;
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== ""));
    return element;
  };
  const drawn = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Signs that can't be seen, or that turn the text around them, are shown by their numbers.
  const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  const plain = (text) => (typeof text === "string" ? text : text ? text.t : "");
  const fill = (element, text) => {
    const whole = plain(text);
    let last = 0;
    for (const found of whole.matchAll(HIDDEN)) {
      element.append(whole.slice(last, found.index));
      const code = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
      element.append(make("span", { class: "sign", title: "a sign that can't be seen" }, `⟨U+${code}⟩`));
      last = found.index + 1;
    }
    element.append(whole.slice(last));
    if (text && text.m) element.append(make("span", { class: "more" }, ` … ${format(text.m)} more characters`));
    return element;
  };
  const box = (text, name, more = "") => {
    const empty = !plain(text).trim();
    const element = make("div", { class: `text${more}${empty ? " none" : ""}`, dir: "auto", tabindex: empty ? null : "0", role: "group", "aria-label": name });
    return empty ? (element.append("(nothing)"), element) : fill(element, text);
  };
  const turns = (content, name, more) => {
    if (!Array.isArray(content)) return [box(content, name, more)];
    if (content.length === 1 && ["user", "assistant"].includes(plain(content[0][0]))) return [box(content[0][1], name, more)];
    return content.map((turn) => {
      if (typeof turn === "number") return make("p", { class: "about" }, `… ${plural(turn, "turn")} left out …`);
      const role = plain(turn[0]);
      return make("div", { class: `turn${role === "user" ? " user" : ""}` }, fill(make("span", { class: "role" }), role), box(turn[1], `${name}, ${role}`, more));
    });
  };
  const flat = (content) => (Array.isArray(content) ? content.map((turn) => (Array.isArray(turn) ? plain(turn[1]) : "")).join("\n") : plain(content));
  const lastTurn = (content) => {
    if (!Array.isArray(content)) return plain(content);
    const said = content.filter(Array.isArray);
    const asked = said.filter((turn) => turn[0] === "user");
    const turn = asked.length ? asked[asked.length - 1] : said[said.length - 1];
    return turn ? plain(turn[1]) : "";
  };

  // What is searched, made once it is needed.
  const haystack = (pair) => {
    pair.hay ??= [pair.id, flat(pair.y), flat(pair.p), flat(pair.a), flat(pair.b), pair.ma, pair.mb, plain(pair.r), plain(pair.raw), pair.f, flat(pair.ref),
      ...(pair.v || []).flatMap((verdict) => [verdict[0], plain(verdict[4])])].filter(Boolean).join("\n").toLowerCase();
    return pair.hay;
  };
  const hasWords = (pair) => chosen.words.every((word) => haystack(pair).includes(word));
  const hasStatus = (pair) => !chosen.status.size || chosen.status.has(pair.s);
  const hasKinds = (pair) => [...chosen.kind].every((kind) => pair.k.includes(kind));
  const sure = (pair) => (pair.pa === undefined || pair.c < 0 ? -1 : Math.abs(pair.pa - 0.5));
  const SORTS = {
    contested: (x, y) => y.c - x.c || x.number - y.number,
    file: (x, y) => x.number - y.number,
    sure: (x, y) => sure(y) - sure(x) || x.number - y.number,
    length: (x, y) => Math.abs((y.la || 0) - (y.lb || 0)) - Math.abs((x.la || 0) - (x.lb || 0)) || x.number - y.number,
  };

  const chips = [];
  const chip = (group, code, name) => {
    const number = make("span");
    const button = make("button", { type: "button", class: "chip", "aria-pressed": "false", "data-code": code }, name, number);
    button.addEventListener("click", () => {
      const set = chosen[group];
      if (!set.delete(code)) set.add(code);
      find();
    });
    chips.push({ group, code, button, number });
    return button;
  };
  for (const [code, name] of statuses) if (pairs.some((pair) => pair.s === code)) at("statuses").append(chip("status", code, name));
  for (const [code, name] of kinds) if (pairs.some((pair) => pair.k.includes(code))) at("kinds").append(chip("kind", code, name));
  at("kinds").hidden = at("kinds").children.length < 2;

  function find() {
    const spoken = pairs.filter(hasWords);
    matching = spoken.filter((pair) => hasStatus(pair) && hasKinds(pair)).sort(SORTS[chosen.sort]);
    page = 0;
    for (const { group, code, button, number } of chips) {
      const pressed = chosen[group].has(code);
      const n = group === "status" ? spoken.filter((pair) => hasKinds(pair) && pair.s === code).length
        : matching.filter((pair) => pair.k.includes(code)).length;
      number.textContent = format(n);
      button.setAttribute("aria-pressed", String(pressed));
      button.disabled = !n && !pressed;
    }
    show();
  }

  function show() {
    const pages = Math.max(Math.ceil(matching.length / PAGE), 1);
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * PAGE, shown = matching.slice(first, first + PAGE);
    at("list").replaceChildren(...shown.map(row));
    at("list").setAttribute("start", String(first + 1));
    at("none").hidden = matching.length > 0;
    const range = shown.length ? `${format(first + 1)}–${format(first + shown.length)} of ` : "";
    const rest = matching.length < pairs.length ? ` match, of ${format(pairs.length)} on this page` : " on this page";
    const all = total > pairs.length ? ` (${format(total)} in the file)` : "";
    at("counts").textContent = pairs.length ? `${range}${plural(matching.length, "pair")}${rest}${all}.` : "There are no pairs to show.";
    at("place").textContent = `Page ${format(page + 1)} of ${format(pages)}`;
    at("back").disabled = page === 0;
    at("forth").disabled = page >= pages - 1;
    document.querySelector(".pager").hidden = pages < 2;
  }

  const tone = (pair) => (pair.s === "" ? "good" : ["tie", "conflict", "weak", "length"].includes(pair.s) ? "care" : "bad");
  const KIND_TONES = { against: "bad", first: "care", second: "care", own: "care", flagged: "care", split: "care" };
  const row = (pair) => {
    const open = opened.has(pair.key), id = `pair-${pair.number}`;
    const what = fill(make("span", { class: "what", dir: "auto" }), (lastTurn(pair.p) || plain(pair.raw) || "(no prompt)").slice(0, 300));
    const marks = make("span", { class: "marks" });
    for (const kind of pair.k.filter((each) => each !== "longer" && each !== "shorter").slice(0, 3)) {
      marks.append(make("span", { class: `badge ${KIND_TONES[kind] || ""}` }, kindNames.get(kind)));
    }
    if (pair.pa !== undefined) marks.append(scale(pair, true));
    const head = make("button", { type: "button", class: "head", "aria-expanded": String(open), "aria-controls": `${id}-body`, id: `${id}-head` },
      make("span", {}, make("span", { class: `badge ${tone(pair)}` }, statusNames.get(pair.s) + (pair.w ? ` ${pair.w.toUpperCase()}` : ""))), what, marks);
    const item = make("li", { class: `pair${open ? " open" : ""}`, id, "data-key": pair.key }, make("h3", {}, head));
    head.addEventListener("click", () => toggle(pair, item, head));
    if (open) item.append(body(pair, id));
    return item;
  };
  const toggle = (pair, item, head) => {
    const open = !opened.delete(pair.key);
    if (open) {
      opened.add(pair.key);
      item.append(body(pair, item.id));
      address(`#pair=${encode(pair.key)}`);
    } else item.querySelector(".body").remove();
    item.classList.toggle("open", open);
    head.setAttribute("aria-expanded", String(open));
  };
  const encode = (key) => encodeURIComponent(key.toWellFormed?.() ?? key.replace(LONE, "\ufffd"));
  const address = (hash) => { try { history.replaceState(null, "", hash); } catch { /* a page without an address of its own */ } };

  const side = (p) => (p > 0.5 ? "A" : p < 0.5 ? "B" : "tie");
  const percent = (p) => `${(100 * p).toFixed(p > 0 && p < 1 && Math.abs(100 * p - Math.round(100 * p)) > 0.05 ? 1 : 0)}%`;
  const LETTERS = { a: "A", b: "B", tie: "tie" };

  function body(pair, id) {
    const inside = make("div", { class: "body", id: `${id}-body`, role: "region", "aria-labelledby": `${id}-head` });
    const facts = [];
    if (pair.id) facts.push(`id ${pair.id}`);
    if (pair.f || pair.l) facts.push(pair.f ? `${pair.f}${pair.l ? `, line ${format(pair.l)}` : ""}` : `line ${format(pair.l)}`);
    if (pair.g || (pair.vo || []).length) {
      const votes = (pair.vo || []).length ? ` (votes: ${pair.vo.map((vote) => LETTERS[vote]).join(", ")})` : "";
      facts.push(`people say ${pair.g ? LETTERS[pair.g] : "nothing clear"}${votes}`);
    }
    if (pair.by) facts.push(`decided by ${pair.by}`);
    const about = make("p", { class: "about" }, ...facts.map((fact) => fill(make("span"), fact)), make("a", { href: `#pair=${encode(pair.key)}` }, "link to this pair"));
    inside.append(about);
    if (pair.k.length) inside.append(make("p", { class: "about" }, ...pair.k.map((kind) => make("span", { class: `badge ${KIND_TONES[kind] || ""}` }, kindNames.get(kind)))));
    if (pair.r) inside.append(fill(make("p", { class: "quiet" }), pair.r));
    if (pair.raw !== undefined) return inside.append(make("h4", {}, "The line"), box(pair.raw, "The line")), inside;
    if (plain(pair.y)) inside.append(make("h4", {}, "System"), box(pair.y, "System"));
    inside.append(make("h4", {}, "Prompt"), ...turns(pair.p, "Prompt", ""));
    const response = (letter, text, length, model) => make("div", {},
      make("h4", {}, `Response ${letter.toUpperCase()} `, model ? fill(make("span", { class: "name" }), model) : "", " ", plural(length || 0, "character"),
        pair.w === letter ? make("span", { class: "badge good" }, "chosen") : "", pair.g === letter ? make("span", { class: "badge blue" }, "people’s choice") : ""),
      ...turns(text, `Response ${letter.toUpperCase()}`, pair.w === letter ? " won" : ""));
    inside.append(make("div", { class: "two" }, response("a", pair.a, pair.la, pair.ma), response("b", pair.b, pair.lb, pair.mb)));
    if (plain(pair.ref)) inside.append(make("h4", {}, "Reference"), box(pair.ref, "Reference"));
    if (pair.pa !== undefined) inside.append(make("h4", {}, `P(A is better) = ${pair.pa}`), scale(pair));
    inside.append(...verdicts(pair));
    if (pair.vm) inside.append(make("p", { class: "quiet" }, `… and ${plural(pair.vm, "more verdict")}.`));
    return inside;
  }

  // From B at the left to A at the right: each verdict a ring, what they amount to a dot.
  const scale = (pair, small = false) => {
    const x = (p) => `${4 + 92 * p}%`;
    const svg = drawn("svg", { class: small ? "mini" : "scale", role: "img", "aria-label": `P(A is better) is ${percent(pair.pa)}` });
    svg.append(drawn("line", { class: "axis", x1: x(0), x2: x(1), y1: 10, y2: 10 }), drawn("line", { class: "fair", x1: x(0.5), x2: x(0.5), y1: 2, y2: 18 }));
    for (const verdict of pair.v || []) {
      if (typeof verdict[2] === "number") svg.append(drawn("circle", { class: "ring", cx: x(verdict[2]), cy: 10, r: small ? 5 : 7 }));
    }
    svg.append(drawn("circle", { class: "point", cx: x(pair.pa), cy: 10, r: small ? 3 : 4 }));
    if (!small) svg.append(drawn("text", { x: x(0), y: 32 }, "B better"), drawn("text", { x: x(0.5), y: 32, "text-anchor": "middle" }, "tie"), drawn("text", { x: x(1), y: 32, "text-anchor": "end" }, "A better"));
    return svg;
  };

  const verdicts = (pair) => {
    const byCritic = new Map();
    for (const verdict of pair.v || []) byCritic.set(verdict[0], [...(byCritic.get(verdict[0]) || []), verdict]);
    return [...byCritic].flatMap(([critic, said]) => {
      const column = (order) => {
        const mine = said.filter((verdict) => verdict[1] === order);
        const first = order === "ab" ? "A" : "B";
        const cards = mine.map(([, , p, soft, reason, sample]) => {
          const told = typeof p === "number" ? make("strong", {}, p === 0.5 ? "Tie" : `${side(p)} is better`) : make("strong", {}, "No readable verdict");
          const how = typeof p === "number" ? ` · P(A) ${percent(p)}${soft ? ", from probabilities" : ""}` : "";
          return make("div", { class: "verdict" }, make("p", {}, told, how, mine.length > 1 ? ` · sample ${sample + 1}` : ""),
            plain(reason) ? box(reason, `Reason, ${first} shown first`) : make("p", { class: "quiet" }, "No reason was kept."));
        });
        return make("div", {}, make("h4", {}, `${first} shown first`), ...(cards.length ? cards : [make("p", { class: "quiet" }, "Not asked.")]));
      };
      return [make("h4", {}, "Verdicts of ", fill(make("span", { class: "name" }), critic || "the critic")), make("div", { class: "two" }, column("ab"), column("ba"))];
    });
  };

  const reset = () => {
    chosen.words = []; chosen.status.clear(); chosen.kind.clear();
    at("search").value = "";
  };
  const goTo = (key, focus) => {
    const pair = byKey.get(key);
    if (!pair) {
      at("counts").textContent = `The pair ${key} is not on this page.`;
      return;
    }
    if (!matching.includes(pair)) { reset(); find(); }
    page = Math.floor(matching.indexOf(pair) / PAGE);
    opened.add(key);
    show();
    const item = at(`pair-${pair.number}`);
    item.scrollIntoView({ block: "start" });
    if (focus) item.querySelector(".head").focus({ preventScroll: true });
  };
  const fromAddress = () => {
    if (!location.hash.startsWith("#pair=")) return;
    const written = location.hash.slice(6);
    let key = pairs.find((pair) => encode(pair.key) === written)?.key;
    try { key ??= decodeURIComponent(written); } catch { key = written; }
    goTo(key, true);
  };
  const turn = (by) => { page += by; show(); at("counts").scrollIntoView({ block: "start" }); at("list").querySelector(".head")?.focus({ preventScroll: true }); };
  const step = (by) => {
    const heads = [...at("list").querySelectorAll(".head")];
    const here = heads.indexOf(document.activeElement?.closest(".pair")?.querySelector(".head"));
    const next = heads[here < 0 ? (by > 0 ? 0 : heads.length - 1) : here + by];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  };

  let waiting = 0;
  at("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      chosen.words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
      find();
    }, pairs.length > 500 ? 120 : 0);
  });
  at("sort").addEventListener("change", () => { chosen.sort = at("sort").value; find(); });
  at("clear").addEventListener("click", () => { reset(); find(); });
  at("back").addEventListener("click", () => turn(-1));
  at("forth").addEventListener("click", () => turn(1));
  addEventListener("hashchange", fromAddress);
  for (const link of document.querySelectorAll("[data-status]")) {
    link.addEventListener("click", () => { reset(); chosen.status.add(link.dataset.status); find(); });
  }
  // On paper: all pairs that are open, from whatever page of the list.
  addEventListener("beforeprint", () => { if (opened.size) at("list").replaceChildren(...pairs.filter((pair) => opened.has(pair.key)).map(row)); });
  addEventListener("afterprint", show);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest?.("input, select, textarea");
    if (event.key === "Escape" && event.target === at("search")) { reset(); find(); return; }
    if (typing) return;
    const act = { "/": () => at("search").focus(), j: () => step(1), k: () => step(-1), n: () => !at("forth").disabled && turn(1), p: () => !at("back").disabled && turn(-1) }[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // Light or dark: as the system has it, until the button says otherwise.
  const theme = at("theme"), root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const named = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Show the page in ${isDark() ? "light" : "dark"} colours`); };
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; named(); });
  system.addEventListener("change", named);
  named();
  theme.hidden = false;

  at("unscripted").hidden = true;
  at("browser").hidden = false;
  find();
  fromAddress();
})();
