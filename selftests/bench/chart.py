# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draws how many times faster than its peer ckpt is: horizontal bars in an SVG that is readable on light and on dark pages."""
from html import escape
from math import ceil

LEFT, WIDTH, RIGHT, TOP = 195, 480, 110, 74
BAR, GAP, BETWEEN = 14, 4, 16

STYLE = """
	svg { font: 13px system-ui, sans-serif }
	.page { fill: #ffffff } text { fill: #1f2328 } .quiet { fill: #59636e } .grid { stroke: #d1d9e0 } .one { stroke: #1f2328 }
	.dump { fill: #0969da } .restore { fill: #1a7f37 } .pinned { opacity: .4 }
	@media (prefers-color-scheme: dark) {
		.page { fill: #0d1117 } text { fill: #f0f6fc } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #f0f6fc }
		.dump { fill: #4493f8 } .restore { fill: #3fb950 }
	}
"""


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind and f" class={chr(34)}{kind}{chr(34)}"}>{escape(words)}</text>'


def line(x, top, bottom, kind):
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" class="{kind}"/>'


def rect(x, y, width, kind):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="2" class="{kind}"/>'


def ticks(most):
    """Round numbers from 0 to the first that is not below the longest bar."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if most / step <= 10)
    return [step * i for i in range(ceil(most / step) + 1)]


def label(plain, pinned):
    if plain and pinned:
        return f"{plain:.1f}× ({pinned:.1f}×)"
    return f"{plain or pinned:.1f}×"


def bar(y, what, plain, pinned, scale, peer):
    """The plain figure is opaque; what pinning adds goes on behind it, paler."""
    middle = y + BAR - 3
    yield text(LEFT - 8, middle, what, "end", "quiet")
    if not plain and not pinned:
        yield text(LEFT + 6, middle, f"– {peer} or ckpt failed, see below", kind="quiet")
        return
    longest = max(plain or 0, pinned or 0)
    if pinned:
        yield rect(LEFT, y, pinned * scale, what + " pinned")
    if plain:
        yield rect(LEFT, y, plain * scale, what)
    yield text(LEFT + longest * scale + 6, middle, label(plain, pinned))


def summary(groups):
    said = []
    for name, bars in groups:
        said += [f"{name}, {what}: {label(plain, pinned)}" for what, plain, pinned in bars if plain or pinned]
    return "; ".join(said)


def chart(groups, peer):
    """groups: (program, [(what, times faster or None, the same when pinned)])."""
    marks = ticks(max([v for _, bars in groups for bar_ in bars for v in bar_[1:] if v] + [1]))
    scale = WIDTH / marks[-1]
    bottom = TOP + sum(len(bars) * (BAR + GAP) + BETWEEN for _, bars in groups)
    drawn = [text(12, 26, f"Times faster than {peer}"),
             text(12, 46, "longer is better; in brackets, and paler, with the eBPF programs pinned", kind="quiet")]
    for mark in marks:
        drawn += [line(LEFT + mark * scale, TOP - 6, bottom, "grid"), text(LEFT + mark * scale, bottom + 16, f"{mark}×", "middle", "quiet")]
    y = TOP
    for name, bars in groups:
        drawn.append(text(12, y + BAR + GAP / 2 + 3, name))
        for what, plain, pinned in bars:
            drawn += bar(y, what, plain, pinned, scale, peer)
            y += BAR + GAP
        y += BETWEEN
    drawn += [line(LEFT + scale, TOP - 6, bottom, "one"), text(LEFT + scale, TOP - 10, f"1× = {peer}", kind="quiet")]
    width, height = LEFT + WIDTH + RIGHT, bottom + 30
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-labelledby="title desc">',
        f'<title id="title">How many times faster than {escape(peer)} ckpt dumps and restores, by program</title>',
        f'<desc id="desc">{escape(summary(groups))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="6" class="page"/>',
        *drawn, "</svg>", ""])
