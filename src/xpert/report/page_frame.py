"""The frame of a report: one HTML file with its style and its script, which asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from xpert.report.markup import Html, plain, tag

__all__ = ["framed"]

_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1c2230;--soft:#5d6675;--line:#d9dde4;--panel:#f5f7fa;--up:#1f6feb;--down:#c4541f;--mark:#8a3fd1}
@media (prefers-color-scheme:dark){:root{--ground:#12161d;--ink:#e4e8ef;--soft:#9aa4b4;--line:#303846;--panel:#1a202a;--up:#6ca8ff;--down:#f0935f;--mark:#c99bff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1.5rem 1rem 4rem;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.8rem;line-height:1.2;margin:0 0 .4rem}
h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
p,ul{max-width:46rem;margin:.4rem 0}
a{color:var(--up)}
nav a{margin-right:1rem;white-space:nowrap}
.soft,small,figcaption{color:var(--soft);font-size:.875rem}
.verdict{background:var(--panel);border-left:4px solid var(--up);padding:.8rem 1rem;max-width:46rem;margin:.8rem 0}
.verdict.no{border-color:var(--down)}
.verdict b{font-size:1.1rem}
figure{margin:.8rem 0;overflow-x:auto}
svg{max-width:100%;height:auto;display:block}
svg.wide{max-width:none}
svg text{fill:var(--ink);font:11px system-ui,sans-serif}
svg .soft{fill:var(--soft);font-size:11px}
svg .frame{fill:none;stroke:var(--line)}
svg .dot{fill:var(--up)}
svg .best{fill:var(--down)}
svg .user{fill:var(--mark)}
svg .up,.bar .up{fill:var(--up)}
svg .down,.bar .down{fill:var(--down)}
svg .none{fill:var(--panel)}
.table{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line)}
table.compact{width:auto}
th{color:var(--soft);font-weight:600;white-space:nowrap}
th.number,td.number{text-align:right;font-variant-numeric:tabular-nums}
#models td:nth-child(2){min-width:14rem}
th button{all:unset;cursor:pointer;font:inherit}
th button:focus-visible{outline:2px solid var(--up)}
th[aria-sort=ascending] button::after{content:" ▲"}
th[aria-sort=descending] button::after{content:" ▼"}
.word{display:inline-block;margin:0 .7rem .1rem 0;white-space:nowrap;font-variant-numeric:tabular-nums}
.word small{font-size:.8rem}
.minus{color:var(--down)}
.near{color:var(--down);font-weight:600}
details{margin:.2rem 0}
summary{cursor:pointer;color:var(--soft);font-size:.875rem}
.filter{margin:.6rem 0;padding:.45rem .6rem;width:100%;max-width:24rem;border:1px solid var(--line);border-radius:4px;background:var(--ground);color:var(--ink);font:inherit}
.pictures img{width:96px;height:auto;margin:0 .5rem .5rem 0;image-rendering:auto}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;max-width:60rem;font-size:.9rem}
dt{color:var(--soft)}
dd{margin:0}
@media (max-width:40rem){
 .sortable thead{position:absolute;left:-999rem}
 .sortable tr{display:block;border-bottom:1px solid var(--line);padding:.5rem 0}
 #models td:nth-child(2){min-width:0}
 .sortable td,.sortable td.number{display:block;border:0;padding:.1rem 0;text-align:left}
 .sortable td[data-label]::before{content:attr(data-label) ": ";color:var(--soft)}
 dl{display:block}
}
@media print{
 body{max-width:none;padding:0;font-size:10pt}
 nav,.filter,summary{display:none}
 tr,figure{break-inside:avoid}
 h2{break-after:avoid}
 .table,figure{overflow:visible}
 svg.wide{max-width:100%}
}
"""

_SCRIPT = """
document.querySelectorAll('table.sortable').forEach(function(table){
 var body=table.tBodies[0];
 if(body.rows.length>12 && table.closest('#models,#ranking,#nearest')){
  var box=document.createElement('input');
  box.type='search';box.className='filter';box.placeholder='Filter: a name or a word';box.setAttribute('aria-label',box.placeholder);
  table.parentNode.parentNode.insertBefore(box,table.parentNode);
  box.addEventListener('input',function(){
   var asked=box.value.toLowerCase();
   Array.from(body.rows).forEach(function(row){row.hidden=!row.textContent.toLowerCase().includes(asked)});
  });
 }
 Array.from(table.tHead.rows[0].cells).forEach(function(head,column){
  var button=document.createElement('button');
  button.type='button';button.textContent=head.textContent;head.textContent='';head.appendChild(button);
  button.addEventListener('click',function(){
   var down=head.getAttribute('aria-sort')==='ascending';
   Array.from(table.tHead.rows[0].cells).forEach(function(other){other.removeAttribute('aria-sort')});
   head.setAttribute('aria-sort',down?'descending':'ascending');
   function key(row){var cell=row.cells[column];return cell.dataset.value===undefined?cell.textContent:cell.dataset.value}
   var rows=Array.from(body.rows).sort(function(a,b){
    var x=key(a),y=key(b),n=x!==''&&y!==''&&!isNaN(x)&&!isNaN(y);
    return (n?x-y:x.localeCompare(y))*(down?-1:1);
   });
   rows.forEach(function(row){body.appendChild(row)});
  });
 });
});
"""


def framed(title: str, sections: Sequence[Html], contents: Sequence[tuple[str, str]]) -> Html:
    """The whole file.

    Nothing but the script here can run, and nothing is loaded: the page's own policy says so to the browser, beside the escaping.

    Args:
        title: Of the page.
        sections: What stands in it; the first is the head, behind which the contents stand.
        contents: ``(identity, title)`` of the other sections.
    """
    links = [tag("a", name, href=f"#{identity}") for identity, name in contents]
    head = Html(
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{plain(_policy())}">'
        f"<title>{plain(title)}</title><style>{_STYLE}</style>"
    )
    body = tag("body", sections[0], tag("nav", *links), *sections[1:], Html(f"<script>{_SCRIPT}</script>"))
    return Html(f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>{body}</html>\n')


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
