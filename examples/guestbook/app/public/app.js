const $ = (id) => document.getElementById(id);

async function who() {
  const w = await (await fetch("/api/whoami")).json();
  $("who").textContent = `backend ${w.backend} (pid ${w.pid}), color ${w.color}, region ${w.region}, level ${w.level}`;
}

async function entries() {
  const { entries: list, likes } = await (await fetch("/api/liked")).json();
  $("entries").replaceChildren(...list.map((e) => {
    const li = document.createElement("li");
    const small = document.createElement("small");
    const words = e.words == null ? "" : `, ${e.words} words`;
    small.textContent = ` ${e.name}, ${new Date(e.at).toLocaleString()}${words}`;
    li.append(e.message, document.createElement("br"), small);
    if (likes) {
      const like = document.createElement("button");
      like.textContent = `like (${likes[e.id] ?? 0})`;
      like.addEventListener("click", async () => {
        await fetch(`/api/likes/${e.id}`, { method: "POST" });
        await entries();
      });
      li.append(" ", like);
    }
    return li;
  }));
}

$("form").addEventListener("submit", async (ev) => {
  ev.preventDefault();
  const form = new FormData(ev.target);
  await fetch("/api/entries", { method: "POST", body: JSON.stringify(Object.fromEntries(form)) });
  ev.target.reset();
  await entries();
});

$("upload").addEventListener("submit", async (ev) => {
  ev.preventDefault();
  const r = await (await fetch("/api/uploads", { method: "POST", body: new FormData(ev.target) })).json();
  const a = document.createElement("a");
  a.href = r.url;
  a.textContent = r.url ?? r.error;
  $("uploaded").replaceChildren(a);
  ev.target.reset();
});

who();
entries();
