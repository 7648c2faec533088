"""Style and behaviour of the flame graph. `SCOPE` is replaced by the graph's id, so that several fit on one page.

None of it may contain `]]>` or `</`; a test checks it.
"""

WAITS: dict[str, tuple[str, str]] = {
    "ready": ("#aab4bf", "#8f9aa6"),
    "connection pool": ("#ec8b86", "#d97a75"),
    "HTTP connection pool": ("#f2b3a0", "#d99a88"),
    "database": ("#7fb2ea", "#6b9fd6"),
    "downstream": ("#6fc7a3", "#5db18e"),
    "network": ("#abdcc4", "#8cbfa6"),
    "thread": ("#c7b0e6", "#ab94cb"),
    "thread token": ("#a98bd8", "#9477c4"),
    "lock": ("#d8c247", "#c0ab38"),
    "queue": ("#e3d78a", "#c4b96f"),
    "event": ("#ece6bd", "#c9c39a"),
    "sleep": ("#a5d3de", "#86b5c0"),
    "client": ("#d9c3ab", "#b9a48d"),
    "process": ("#c39f7f", "#ab886a"),
    "other": ("#e0c9e2", "#c0a9c2"),
}
"""What requests wait for -> its colour on a light and on a dark page. The app's own orange is not among them."""


def wait_class(kind: str) -> str:
    """Return the class that carries a kind's colour."""
    return f"w-{(kind if kind in WAITS else 'other').replace(' ', '-')}"


def _wait_rules(side: int) -> str:
    rules = [f"#SCOPE .{wait_class(kind)} rect,#SCOPE rect.{wait_class(kind)}" for kind in WAITS]
    return "\n".join(f"{rule}{{fill:{colours[side]}}}" for rule, colours in zip(rules, WAITS.values(), strict=True))


WAIT_STYLE = f"""
{_wait_rules(0)}
#SCOPE .code rect,#SCOPE rect.code{{fill:#e9ebee}}
#SCOPE .code text{{fill:#5a626c}}
@media (prefers-color-scheme:dark){{
{_wait_rules(1)}
#SCOPE .code rect,#SCOPE rect.code{{fill:#3a4049}}
#SCOPE .f.code text{{fill:#c3c9d1}}
}}
"""
"""For graphs of waiting: colour says what is waited for; code that is not the app's steps back."""

STYLE = """
#SCOPE{background:#fff;color:#1c1e21;display:block}
#SCOPE .paper{fill:#fff}
#SCOPE text{fill:#1c1e21}
#SCOPE .title{font:600 15px system-ui,sans-serif}
#SCOPE .muted{font-family:system-ui,sans-serif;font-size:12px;fill:#4b5158}
#SCOPE .faint{font-family:system-ui,sans-serif;font-size:12px;fill:#757b83}
#SCOPE .f{cursor:pointer}
#SCOPE .f rect{stroke:#fff;stroke-width:.7}
#SCOPE .f text{fill:#14161a;pointer-events:none}
#SCOPE .f:hover rect{stroke:#14161a;stroke-width:1}
#SCOPE .app rect,#SCOPE rect.app{fill:#f4a742}
#SCOPE .framework rect,#SCOPE rect.framework{fill:#90bdf0}
#SCOPE .library rect,#SCOPE rect.library{fill:#83d0b3}
#SCOPE .stdlib rect,#SCOPE rect.stdlib{fill:#d8d2c2}
#SCOPE .native rect,#SCOPE rect.native{fill:#cbaae6}
#SCOPE .pinchpoint rect,#SCOPE rect.pinchpoint{fill:#f3a9c3}
#SCOPE .thread rect,#SCOPE rect.thread{fill:#bcc2ca}
#SCOPE .f.above rect{opacity:.55}
#SCOPE .f.hit rect{fill:#e8358f}
#SCOPE .f.hit text{fill:#fff}
#SCOPE .bar{display:flex;gap:6px;justify-content:flex-end;align-items:center;color:#4b5158}
#SCOPE .bar{font:12px system-ui,sans-serif}
#SCOPE input,#SCOPE button{font:inherit;padding:2px 7px;border:1px solid #b5bac1;border-radius:4px;color:#1c1e21}
#SCOPE input{width:120px;background:#fff}
#SCOPE button{background:#f2f3f5;cursor:pointer}
#SCOPE .hits{white-space:nowrap}
@media (max-width:700px){
#SCOPE .controls{transform:translateY(60px)}
#SCOPE .info{display:none}
}
@media (prefers-color-scheme:dark){
#SCOPE{background:#16181c;color:#e6e8eb}
#SCOPE .paper{fill:#16181c}
#SCOPE text{fill:#e6e8eb}
#SCOPE .muted,#SCOPE .bar{fill:#b4bac2;color:#b4bac2}
#SCOPE .faint{fill:#8d949d}
#SCOPE .f text{fill:#14161a}
#SCOPE .f.above text{fill:#e6e8eb}
#SCOPE .f rect{stroke:#16181c}
#SCOPE .f:hover rect{stroke:#fff}
#SCOPE .app rect,#SCOPE rect.app{fill:#e09a3c}
#SCOPE .framework rect,#SCOPE rect.framework{fill:#7ba6d8}
#SCOPE .library rect,#SCOPE rect.library{fill:#6cb99c}
#SCOPE .stdlib rect,#SCOPE rect.stdlib{fill:#b5af9f}
#SCOPE .native rect,#SCOPE rect.native{fill:#b592d1}
#SCOPE .pinchpoint rect,#SCOPE rect.pinchpoint{fill:#dd90ac}
#SCOPE .thread rect,#SCOPE rect.thread{fill:#8e959e}
#SCOPE .f.hit rect{fill:#ff5ca8}
#SCOPE input{background:#22252b;color:#e6e8eb;border-color:#4a5058}
#SCOPE button{background:#2b2f36;color:#e6e8eb;border-color:#4a5058}
}
"""

SCRIPT = """
(function () {
  'use strict';
  var svg = document.getElementById('SCOPE');
  if (!svg) { return; }
  var CHAR = 6.7, NS = 'http://www.w3.org/2000/svg';
  var info = svg.querySelector('.info'), idle = info.textContent;
  var hits = svg.querySelector('.hits'), input = svg.querySelector('input');
  var frames = Array.prototype.map.call(svg.querySelectorAll('g.f'), function (g) {
    var rect = g.querySelector('rect'), tip = g.querySelector('title').textContent;
    return {
      g: g, rect: rect, tip: tip, name: tip.split('\\n', 1)[0], y: +rect.getAttribute('y'),
      x: parseFloat(rect.getAttribute('x')), w: parseFloat(rect.getAttribute('width'))
    };
  });
  var view = { x: 0, w: 100, y: -1 };
  function fit(frame, x, w, px) {
    var text = frame.g.querySelector('text');
    var room = Math.floor((w / 100 * px - 7) / CHAR);
    var label = frame.name.length <= room ? frame.name : room >= 3 ? frame.name.slice(0, room - 1) + '\\u2026' : '';
    if (!text) {
      if (!label) { return; }
      text = document.createElementNS(NS, 'text');
      text.setAttribute('dx', 4);
      text.setAttribute('y', frame.y + 12);
      frame.g.appendChild(text);
    }
    text.setAttribute('x', x + '%');
    text.textContent = label;
  }
  function draw() {
    var px = svg.getBoundingClientRect().width || 1200;
    frames.forEach(function (frame) {
      var above = frame.y < view.y;
      var shown = above ? frame.x <= view.x + 1e-4 && frame.x + frame.w >= view.x + view.w - 1e-4
        : frame.x >= view.x - 1e-4 && frame.x + frame.w <= view.x + view.w + 1e-4;
      frame.g.style.display = shown ? '' : 'none';
      frame.g.classList.toggle('above', above && shown);
      if (!shown) { return; }
      var x = above ? 0 : (frame.x - view.x) / view.w * 100, w = above ? 100 : frame.w / view.w * 100;
      frame.rect.setAttribute('x', x + '%');
      frame.rect.setAttribute('width', w + '%');
      fit(frame, x, w, px);
    });
  }
  function zoom(frame) { view = frame; draw(); }
  function reset() { view = { x: 0, w: 100, y: -1 }; draw(); }
  function matcher(query) {
    try { var re = new RegExp(query, 'i'); return function (text) { return re.test(text); }; } catch (error) {
      var plain = query.toLowerCase();
      return function (text) { return text.toLowerCase().indexOf(plain) >= 0; };
    }
  }
  function search() {
    var query = input.value.trim(), test = matcher(query), spans = [];
    frames.forEach(function (frame) {
      var hit = query !== '' && test(frame.tip.split('\\n', 2).join(' '));
      frame.g.classList.toggle('hit', hit);
      if (hit) { spans.push([frame.x, frame.x + frame.w]); }
    });
    spans.sort(function (a, b) { return a[0] - b[0] || b[1] - a[1]; });
    var sum = 0, end = 0;
    spans.forEach(function (span) {
      if (span[1] > end) { sum += span[1] - Math.max(span[0], end); end = span[1]; }
    });
    hits.textContent = query === '' ? '' : 'matched ' + sum.toFixed(1) + ' %';
  }
  frames.forEach(function (frame) {
    frame.g.addEventListener('click', function () { zoom(frame); });
    var line = frame.tip.split('\\n').join('  \\u00b7  ');
    frame.g.addEventListener('mouseenter', function () { info.textContent = line; });
    frame.g.addEventListener('mouseleave', function () { info.textContent = idle; });
  });
  input.addEventListener('input', search);
  svg.querySelector('.reset').addEventListener('click', reset);
  window.addEventListener('keydown', function (event) {
    if (event.key === 'Escape') { input.value = ''; search(); reset(); }
  });
  window.addEventListener('resize', draw);
  draw();
})();
"""
