"use strict";
// Everything here is a convenience: every form works without this script.

const form = document.querySelector("form.judge");
const keysBox = document.querySelector("[data-keys]");
const started = performance.now();
let hiddenSince = document.hidden ? started : null;
let away = 0;

const remember = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { value === null ? localStorage.removeItem(name) : localStorage.setItem(name, value); } catch {} },
};

// How long the task was in sight.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenSince = performance.now();
  else if (hiddenSince !== null) { away += performance.now() - hiddenSince; hiddenSince = null; }
});
const seconds = () => ((performance.now() - started - away) / 1000).toFixed(1);

// Sends a form until the server has it: the token in it makes that once.
let sending = false;
async function send(target, button) {
  if (sending) return;
  sending = true;
  const field = target.querySelector("[name=seconds]");
  if (field) field.value = seconds();
  const body = new URLSearchParams(new FormData(target));
  if (button && button.name) body.set(button.name, button.value);
  const fault = document.querySelector(".questions .fault");
  const say = (text) => { if (fault) { fault.textContent = text; fault.hidden = !text; } };
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const answer = await fetch(target.action, { method: "POST", body, headers: { "X-Guerdon": "1" }, credentials: "same-origin" });
      if (answer.status < 500) {
        const isJson = answer.headers.get("content-type")?.includes("json"); // the guard of the server writes plain text
        const told = isJson ? await answer.json() : { fault: await answer.text() };
        if (answer.ok) {
          if (target === form) remember.set(draftName, null);
          location.assign(told.next);
          return;
        }
        if (answer.status === 401) { location.assign("/sign-in"); return; }
        say(told.fault);
        sending = false;
        return;
      }
    } catch {}
    say(form ? form.dataset.lost : "");
    await new Promise((done) => setTimeout(done, wait));
  }
}
document.addEventListener("submit", (event) => {
  if (event.target.matches("form.judge, form.undo")) {
    event.preventDefault();
    send(event.target, event.submitter);
  }
});

// A draft of what is not sent yet, for when the browser is closed in between.
const draftName = form ? `guerdon draft ${form.dataset.draft}` : "";
const drafted = () => [...form.querySelectorAll("input[type=radio], input[type=checkbox]:not([data-keys]), select, textarea, input[data-draft]")].filter((one) => one.name);
if (form) {
  const kept = remember.get(draftName);
  if (kept && !form.dataset.saved) {
    try {
      const values = JSON.parse(kept);
      for (const one of drafted()) {
        if (one.type === "radio" || one.type === "checkbox") one.checked = (values[one.name] || []).includes(one.value);
        else if (one.name in values) one.value = values[one.name][0];
      }
    } catch {}
  }
  form.addEventListener("input", () => {
    const values = {};
    for (const one of drafted()) {
      if ((one.type !== "radio" && one.type !== "checkbox") || one.checked) (values[one.name] ||= []).push(one.value);
    }
    remember.set(draftName, JSON.stringify(values));
  });
}

// Of a dialogue the last message is seen first.
for (const pane of document.querySelectorAll(".prompt-pane")) {
  const last = pane.querySelector(".turn:last-child");
  if (last) pane.scrollTop = last.offsetTop;
}

// What scrolls can have the focus, so that arrow keys scroll it in every browser.
const reachScrolling = () => {
  for (const one of document.querySelectorAll(".prompt-pane, .guidelines .prose, .prose pre, .prose table")) {
    if (one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight + 1) one.tabIndex = 0;
    else one.removeAttribute("tabindex");
  }
};
reachScrolling();
addEventListener("resize", reachScrolling);
document.addEventListener("toggle", reachScrolling, true);

// Rows of choices: a key chooses in the row that has the focus, else in the first without an answer.
const rows = form ? [...form.querySelectorAll(".ask")] : [];
// Ranking: a digit gives its response the next rank, or takes its rank away; = joins the last two; drag puts in order.
for (const list of document.querySelectorAll("[data-ranking] .ranks")) {
  const cards = [...list.children];
  const field = (card) => card.querySelector("select");
  const rank = (card) => Number(field(card).value) || Infinity;
  const show = () => {
    for (const card of cards) card.classList.toggle("ranked", rank(card) < Infinity);
    list.append(...[...cards].sort((a, b) => rank(a) - rank(b) || cards.indexOf(a) - cards.indexOf(b)));
  };
  const set = (ordered) => {
    for (const card of cards) field(card).value = "";
    ordered.forEach(([card, at]) => { field(card).value = at; });
    show();
    list.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const ranked = () => cards.filter((card) => rank(card) < Infinity).sort((a, b) => rank(a) - rank(b)).map((card) => [card, rank(card)]);
  list.digit = (digit) => {
    const card = cards.find((one) => one.dataset.key === digit);
    if (!card) return;
    const now = ranked();
    if (rank(card) < Infinity) set(now.filter(([one]) => one !== card));
    else set([...now, [card, (now.length ? now[now.length - 1][1] : 0) + 1]]);
  };
  list.join = () => {
    const now = ranked();
    if (now.length > 1) { now[now.length - 1][1] = now[now.length - 2][1]; set(now); }
  };
  list.addEventListener("change", show);
  let dragged = null;
  list.addEventListener("dragstart", (event) => { dragged = event.target.closest("li"); });
  list.addEventListener("dragover", (event) => event.preventDefault());
  list.addEventListener("drop", (event) => {
    event.preventDefault();
    const order = [...list.children];
    const target = event.target.closest("li") || order.at(-1);
    if (!dragged || dragged === target) return;
    const place = order.indexOf(target); // of which it takes the place, the others moving up
    order.splice(order.indexOf(dragged), 1);
    order.splice(place, 0, dragged);
    set(order.map((card, at) => [card, at + 1]));
  });
  show();
}

// Spans: what is selected in the text gets the label whose key or button is pressed.
for (const row of document.querySelectorAll("[data-spans]")) {
  const text = row.querySelector("textarea");
  const kept = row.querySelector("input[type=hidden]");
  const list = row.querySelector(".marks");
  const marks = JSON.parse(kept.value);
  const under = row.querySelector(".under");
  const buttonOf = (one) => [...row.querySelectorAll("[data-mark]")].find((button) => button.dataset.mark === one.label);
  const made = (tag, mark, words) => {
    const element = document.createElement(tag);
    if (mark) element.className = `kind-${buttonOf(mark).dataset.digit}`;
    element.textContent = words;
    return element;
  };
  // A text field cannot colour its text, so the same text lies under it, with what is marked in the colour of its kind.
  const paint = () => {
    const edges = [...new Set([0, text.value.length, ...marks.flatMap((one) => [one.start, one.end])])].sort((a, b) => a - b);
    under.replaceChildren(...edges.slice(1).map((end, at) => {
      const mark = marks.findLast((one) => one.start <= edges[at] && end <= one.end);
      return made(mark ? "mark" : "span", mark, text.value.slice(edges[at], end));
    }));
  };
  const show = () => {
    paint();
    list.replaceChildren(...marks.map((mark, at) => {
      const words = text.value.slice(mark.start, mark.end);
      const item = made("li", mark, `${buttonOf(mark).lastChild.textContent.trim()}${list.dataset.colon}“${words}” `);
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "×";
      button.setAttribute("aria-label", list.dataset.remove);
      button.addEventListener("click", () => { marks.splice(at, 1); keep(); });
      item.append(button);
      return item;
    }));
  };
  const keep = () => {
    kept.value = JSON.stringify(marks);
    show();
    kept.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const mark = (label) => {
    if (text.selectionStart < text.selectionEnd) {
      marks.push({ start: text.selectionStart, end: text.selectionEnd, label });
      keep();
      text.selectionStart = text.selectionEnd; // so that the colour of the mark is seen
    }
    text.focus();
  };
  for (const button of row.querySelectorAll("[data-mark]")) {
    button.addEventListener("mousedown", (event) => event.preventDefault()); // or the selection would go
    button.addEventListener("click", () => mark(button.dataset.mark));
  }
  text.addEventListener("scroll", () => { under.scrollTop = text.scrollTop; });
  text.addEventListener("keydown", (event) => {
    const button = [...row.querySelectorAll("[data-digit]")].find((one) => one.dataset.digit === event.key);
    if (button && keysBox.checked && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); mark(button.dataset.mark); }
    if (event.key === "Enter" && keysBox.checked) { event.preventDefault(); form.requestSubmit(); }
  });
  show();
}

// Where a text is all that is asked for, it has the focus; not where that would open a keyboard on the screen.
const onlyText = rows.length === 1 && rows[0].querySelector("textarea:not([readonly])");
if (onlyText && matchMedia("(pointer: fine)").matches) onlyText.focus();

const answered = (row) => row.querySelector(".ranks")
  ? row.querySelectorAll(".ranked").length > 1
  : !row.querySelector("input[type=radio]") || row.querySelector("input:checked");
const focusRow = (row) => {
  const target = row.querySelector("input:checked") || row.querySelector("input, textarea, button");
  if (target) target.focus();
};
const currentRow = () => document.activeElement.closest?.(".ask") || rows.find((row) => !answered(row)) || rows[0];

function choose(input) {
  input.checked = true;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  const row = input.closest(".ask");
  if (rows.length === 1 && "auto" in row.dataset) { form.requestSubmit(); return; }
  const next = rows.slice(rows.indexOf(row) + 1).find((one) => !answered(one)) || rows.find((one) => !answered(one));
  if (next) focusRow(next);
  else form.querySelector("button.main").focus();
}
form?.addEventListener("click", (event) => {
  // A click on the one question there is sends it; arrow keys, which click too, do not.
  if (event.detail && event.target.matches(".ask[data-auto] input[type=radio]") && rows.length === 1) form.requestSubmit();
});

const typing = (target) => target.matches?.("textarea:not([readonly]), select, input:not([type=radio]):not([type=checkbox])") || target.isContentEditable;
document.addEventListener("keydown", (event) => {
  if (form && event.key === "Enter" && (event.ctrlKey || event.metaKey)) { form.requestSubmit(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  if (keysBox && !keysBox.checked) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const row = currentRow();
  const ranks = row?.querySelector(".ranks");
  if (ranks && /^[1-9=]$/.test(event.key)) {
    event.preventDefault();
    event.key === "=" ? ranks.join() : ranks.digit(event.key);
    return;
  }
  if (form && row && /^[0-9]$/.test(event.key)) {
    const input = row.querySelector(`input[data-key="${event.key}"]`);
    if (input) { event.preventDefault(); choose(input); }
    return;
  }
  if (form && event.key === "Enter" && !event.target.matches("button, summary, a")) {
    event.preventDefault();
    form.requestSubmit();
    return;
  }
  if (form && (event.key === "j" || event.key === "k") && rows.length > 1) {
    const next = rows[rows.indexOf(row) + (event.key === "j" ? 1 : -1)];
    if (next) focusRow(next);
    return;
  }
  if (/^[a-z]$/.test(event.key)) {
    const target = document.querySelector(`details[data-key="${event.key}"], button[data-key="${event.key}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.matches("details")) {
      target.open = !target.open;
      (target.open && target.querySelector("div button") || target.querySelector("summary")).focus();
    } else target.click();
  }
});

// Shortcuts of one key can be turned off.
if (keysBox) {
  keysBox.checked = remember.get("guerdon keys") !== "off";
  const show = () => document.body.classList.toggle("no-keys", !keysBox.checked);
  show();
  keysBox.addEventListener("change", () => { remember.set("guerdon keys", keysBox.checked ? null : "off"); show(); });
}

// The texts as they were written, without Markdown.
const sourceButton = document.querySelector("[data-source]");
function showSource(on) {
  for (const one of document.querySelectorAll(".source")) {
    one.hidden = !on;
    one.previousElementSibling.hidden = on;
  }
  sourceButton.setAttribute("aria-pressed", String(on));
}
if (sourceButton) {
  if (remember.get("guerdon source") === "on") showSource(true);
  sourceButton.addEventListener("click", () => {
    const on = sourceButton.getAttribute("aria-pressed") !== "true";
    showSource(on);
    remember.set("guerdon source", on ? "on" : null);
  });
}
