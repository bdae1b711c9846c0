"use strict";
const cards = Array.from(document.querySelectorAll(".card"));
const filter = document.querySelector("#filter");
const dialog = document.querySelector("dialog");
const large = dialog.querySelector("img");
const caption = dialog.querySelector("p");
const words = new Map(cards.map(card => [card, card.textContent.toLowerCase()]));
let shown = null;

const visible = () => cards.filter(card => !card.hidden && card.querySelector("img"));

filter.addEventListener("input", () => {
  const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of cards) card.hidden = !wanted.every(word => words.get(card).includes(word));
});

function show(card) {
  const among = visible();
  const prompt = card.querySelector(".prompt");
  shown = card;
  large.src = card.querySelector(".image").href;
  large.alt = prompt ? prompt.textContent : "";
  caption.textContent = `${among.indexOf(card) + 1} / ${among.length}  ${large.alt}`;
  if (!dialog.open) dialog.showModal();
}

function step(by) {
  const among = visible();
  if (among.length) show(among[(among.indexOf(shown) + by + among.length) % among.length]);
}

async function copy(button) {
  const text = button.dataset.command;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy command"; }, 1500);
}

document.addEventListener("click", event => {
  const button = event.target.closest("button[data-command]");
  if (button) copy(button);
  const link = event.target.closest(".image");
  if (link && link.querySelector("img") && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
    event.preventDefault();
    show(link.closest(".card"));
  }
});

dialog.addEventListener("click", event => { if (event.target !== caption) dialog.close(); });
dialog.addEventListener("close", () => {
  large.removeAttribute("src");
  const link = shown && shown.querySelector(".image");
  if (link) link.focus();
});
document.addEventListener("keydown", event => {
  if (event.key === "/" && !dialog.open && document.activeElement !== filter) {
    event.preventDefault();
    filter.focus();
  }
  if (!dialog.open) return;
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
