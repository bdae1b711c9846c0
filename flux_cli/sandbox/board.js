"use strict";
// Everything from outside goes into the page as text, never as markup.

const shown = new Map();

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

function card(task) {
  const article = make("article", task.status);
  const pictures = make("div", "pictures");
  for (const address of task.pictures) {
    const link = make("a");
    const image = make("img");
    link.href = image.src = address;
    image.alt = task.prompt;
    image.loading = "lazy";
    link.append(image);
    pictures.append(link);
  }
  const waiting = task.ends_in === null ? "never ends" : `${task.ends_in.toFixed(0)} s left`;
  if (!task.pictures.length) pictures.append(make("p", "waiting", task.error || (task.over ? "" : waiting)));
  const about = make("div", "about");
  about.append(make("p", "prompt", task.prompt));
  const facts = make("p", "facts");
  facts.append(make("span", "status", task.status));
  facts.append(` · ${task.model} · ${task.task_type} · $${task.cost_usd}${task.over ? ` · ${task.seconds} s` : ""}`);
  about.append(facts, make("p", "id", task.id));
  article.append(pictures, about);
  return article;
}

function show(board) {
  const running = board.tasks.filter((task) => !task.over).length;
  const count = board.total === 1 ? "1 task" : `${board.total} tasks`;
  document.getElementById("totals").textContent =
    board.total ? `${count}, ${running} under way; $${board.cost_usd} that nobody paid` : "no tasks yet";
  const faults = board.faults.map((item) => make("li", "", `${item.fault}  ×${item.struck}`));
  document.getElementById("faults").replaceChildren(...faults);
  const cards = board.tasks.map((task) => {
    const state = JSON.stringify([task.status, task.ends_in]);
    const known = shown.get(task.id);
    if (known && known.state === state) return known.element;
    const element = card(task);
    shown.set(task.id, { state, element });
    return element;
  });
  // Cards that are there already stay as they are: no picture flickers, no focus is lost.
  const main = document.getElementById("tasks");
  if (main.children.length !== cards.length || cards.some((element, place) => main.children[place] !== element)) {
    main.replaceChildren(...cards);
  }
}

async function look() {
  try {
    const answer = await fetch("/sandbox/tasks", { cache: "no-store" });
    show((await answer.json()).data);
    document.title = "flux sandbox";
  } catch {
    document.title = "flux sandbox (stopped)";
    document.getElementById("totals").textContent = "the sandbox does not answer";
  }
  setTimeout(look, 1000);
}

look();
