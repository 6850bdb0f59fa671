"Docments (comments beside parameters) as Sphinx fields: what each parameter is, its default, what comes back."
import inspect, re
from fastcore.docments import docments as read

def rest(text):
    "Comments are written as Markdown, Sphinx reads reStructuredText."
    return ''.join(map(rest_of_part, re.split(r'(`[^`]+`|\$[^$]+\$)', text)))

def rest_of_part(part):
    if part.startswith('`'): return f'``{part[1:-1]}``'
    if part.startswith('$'): return f':math:`{part[1:-1]}`'
    return re.sub(r'([*|_\\])', r'\\\1', part)

def type_name(anno):
    if anno in (inspect.Parameter.empty, None): return ''
    return anno if isinstance(anno, str) else getattr(anno, '__name__', None) or re.sub(r'\w+\.', '', str(anno))

def described(obj):
    "(name, type, default, text) of each parameter with a comment, and (type, text) of what is returned."
    try: d = read(obj, full=True, returns=True)
    except Exception: return [], None       # no source: a builtin, or made by a decorator
    rows = [(k, type_name(v.get('anno')), v.get('default', inspect.Parameter.empty), v.get('docment') or '')
            for k, v in d.items() if k not in ('return', 'self', 'run') and v is not None]
    ret = d.get('return')
    if not ret or not ret.get('docment'): return rows, None
    # fastcore gives the comment of `**kw` to what is returned
    if rows and rows[-1][0] == 'kw' and not rows[-1][3] and not re.search(r'->[^\n]*#', inspect.getsource(obj)):
        rows[-1] = *rows[-1][:3], ret['docment']
        return rows, None
    return rows, (type_name(ret.get('anno')), ret['docment'])

def describe(app, what, name, obj, options, lines):
    if what not in ('function', 'method', 'class'): return
    rows, ret = described(inspect.unwrap(obj) if what != 'class' else obj)
    if not rows and not ret: return
    lines[:] = [rest(line) for line in lines]
    lines.append('')
    for k, kind, default, text in rows:
        has_default = default is not inspect.Parameter.empty and len(repr(default)) < 60
        shown = f' Default: ``{default!r}``.' if has_default else ''
        stop = '.' if text and shown and not text.endswith(('.', '?')) else ''
        lines.append(f':param {k}: {rest(text)}{stop}{shown}'.replace('\n', ' '))
        if kind: lines.append(f':type {k}: ``{kind}``' if re.search(r'\W', kind) else f':type {k}: {kind}')
    if ret: lines.append(f':returns: {rest(ret[1])}'.replace('\n', ' '))

STARS = {inspect.Parameter.VAR_POSITIONAL: '*', inspect.Parameter.VAR_KEYWORD: '**'}

def signature(app, what, name, obj, options, signature, return_annotation):
    "Names only: types and defaults stand in the table."
    if what not in ('function', 'method', 'class'): return None
    try: parameters = inspect.signature(obj).parameters.values()
    except (TypeError, ValueError): return None
    names = [STARS.get(p.kind, '') + p.name for p in parameters if p.name not in ('self', 'run')]
    return f"({', '.join(names)})", None
