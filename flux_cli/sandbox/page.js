"use strict";
// The server renders the page. Once per second this fetches it again and replaces what has changed.

async function refresh() {
  try {
    const response = await fetch("/sandbox/cards", { cache: "no-store" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const id of ["totals", "faults"]) {
      const [shown, fresh] = [document, page].map((place) => place.getElementById(id));
      if (shown.textContent !== fresh.textContent) shown.replaceChildren(...fresh.childNodes);
    }
    // Cards that have not changed stay: no image flickers, no focus is lost.
    const main = document.getElementById("tasks");
    const cards = [...page.getElementById("tasks").children].map((fresh) => {
      const shown = document.getElementById(fresh.id);
      return shown && shown.dataset.state === fresh.dataset.state ? shown : fresh;
    });
    if (main.children.length !== cards.length || cards.some((card, place) => main.children[place] !== card)) {
      main.replaceChildren(...cards);
    }
    document.title = "flux sandbox";
  } catch {
    document.title = "flux sandbox (stopped)";
    document.getElementById("totals").textContent = "The sandbox does not respond.";
  }
  setTimeout(refresh, 1000);
}

setTimeout(refresh, 1000);
