"use strict";

const put = (id, text) => { document.getElementById(id).textContent = text; };
const picture = document.getElementById("picture");
const state = document.getElementById("state");
const STATES = { live: "live", starting: "starting", away: "lost, trying to come back" };
let away = false;

function tell(kind, text) {
  state.dataset.kind = kind;
  state.textContent = text;
}

function row(label, now, total) {
  const line = document.createElement("tr");
  for (const text of total === undefined ? [label, now] : [label, now, total]) {
    const cell = document.createElement("td");
    cell.textContent = text;
    line.append(cell);
  }
  return line;
}

function showClasses(counts, totals) {
  const labels = Object.keys(totals ?? counts).slice(0, 30);
  const rows = labels.map((label) => row(label, counts[label] ?? 0, totals ? totals[label] : undefined));
  document.querySelector("#classes tbody").replaceChildren(...rows);
  document.querySelector("#classes .total").hidden = !totals;
  document.getElementById("classes").hidden = rows.length === 0;
}

function show(numbers) {
  put("rate", numbers.frames_per_second.toFixed(1));
  put("delay", numbers.delay_ms === null ? "–" : `${Math.round(numbers.delay_ms)} ms`);
  put("instances", numbers.instances);
  put("frames", numbers.frames.toLocaleString());
  put("dropped", numbers.dropped.toLocaleString());
  put("size", numbers.width ? `${numbers.width} × ${numbers.height}` : "–");
  put("model", numbers.model);
  put("device", numbers.device ?? "–");
  put("viewers", numbers.viewers);
  showClasses(numbers.counts, numbers.totals);
  tell(numbers.state === "live" ? "live" : "away", STATES[numbers.state] ?? numbers.state);
}

async function look() {
  try {
    const answer = await fetch("numbers.json", { cache: "no-store" });
    show(await answer.json());
    if (away) {
      // The stream of pictures ended with the program that sent it.
      picture.src = `stream.mjpg?${Date.now()}`;
      away = false;
    }
  } catch {
    away = true;
    tell("away", "ended");
  }
  setTimeout(look, away ? 3000 : 500);
}

// A picture that could not be had is asked for again: the run may have many viewers, or may be starting.
picture.addEventListener("error", () => setTimeout(() => { picture.src = `stream.mjpg?${Date.now()}`; }, 5000));
document.getElementById("numbers").hidden = false;
look();
