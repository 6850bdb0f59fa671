"Docments (comments beside parameters) as Sphinx fields: what each parameter is, its default, what comes back."
import inspect, re
from fastcore.docments import docments as read

def rest(text):
    "Comments are written as Markdown, Sphinx reads reStructuredText."
    parts = re.split(r'(`[^`]+`|\$[^$]+\$)', text)
    return ''.join(f'``{p[1:-1]}``' if p.startswith('`') else f':math:`{p[1:-1]}`' if p.startswith('$') else re.sub(r'([*|_\\])', r'\\\1', p) for p in parts)

def type_name(anno):
    if anno in (inspect.Parameter.empty, None): return ''
    return anno if isinstance(anno, str) else getattr(anno, '__name__', None) or re.sub(r'\w+\.', '', str(anno))

def described(obj):
    "(name, type, default, text) of each parameter with a comment, and (type, text) of what is returned."
    try: d = read(obj, full=True, returns=True)
    except Exception: return [], None       # no source: a builtin, or made by a decorator
    rows = [(k, type_name(v.get('anno')), v.get('default', inspect.Parameter.empty), v.get('docment') or '') for k, v in d.items() if k not in ('return', 'self', 'run') and v is not None]
    ret = d.get('return')
    if ret and rows and rows[-1][0] == 'kw' and not rows[-1][3] and not re.search(r'->[^\n]*#', inspect.getsource(obj)):       # fastcore gives the comment of `**kw` to what is returned
        rows[-1], ret = (*rows[-1][:3], ret.get('docment') or ''), None
    return rows, (type_name(ret.get('anno')), ret.get('docment') or '') if ret and ret.get('docment') else None

def describe(app, what, name, obj, options, lines):
    if what not in ('function', 'method', 'class'): return
    rows, ret = described(inspect.unwrap(obj) if what != 'class' else obj)
    if not rows and not ret: return
    lines[:] = [rest(l) for l in lines]
    lines.append('')
    for k, kind, default, text in rows:
        shown = '' if default is inspect.Parameter.empty else f' Default: ``{default!r}``.' if len(repr(default)) < 60 else ''
        lines.append(f':param {k}: {rest(text)}{"." if text and not text.endswith((".", "?")) and shown else ""}{shown}'.replace('\n', ' '))
        if kind: lines.append(f':type {k}: ``{kind}``' if re.search(r'\W', kind) else f':type {k}: {kind}')
    if ret: lines.append(f':returns: {rest(ret[1])}'.replace('\n', ' '))

def signature(app, what, name, obj, options, signature, return_annotation):
    "Names only: types and defaults stand in the table."
    if what not in ('function', 'method', 'class'): return
    try: names = [('*' if p.kind is p.VAR_POSITIONAL else '**' if p.kind is p.VAR_KEYWORD else '') + p.name for p in inspect.signature(obj).parameters.values() if p.name not in ('self', 'run')]
    except (TypeError, ValueError): return
    return f"({', '.join(names)})", None
