"""Reads the built site in a headless Chromium, as a visitor would: every page without errors, mathematics and figures drawn, links that lead somewhere, a search that finds. `browse.py [--shots FOLDER]`

Needs a Chromium on the machine (Debian: apt-get install chromium) and playwright."""
import argparse, re, shutil, sys, threading, time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urldefrag, urljoin
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, ROOT, settings

FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_): pass

def visit(page, url, base, errors):
    "Opens a page; returns its links, and what is wrong with it."
    bad = []
    errors.clear()
    page.goto(url, wait_until='load')
    if page.query_selector('span.math, div.math'):
        try: page.wait_for_function("() => [...document.querySelectorAll('span.math, div.math')].every(e => e.querySelector('mjx-container'))", timeout=20_000)
        except Exception: bad.append('mathematics is not drawn')
        if page.query_selector('mjx-merror, [data-mjx-error]'): bad.append('an equation has an error')
    page.evaluate("() => document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    try: page.wait_for_function("() => [...document.images].every(i => i.complete)", timeout=20_000)
    except Exception: bad.append('images do not load')
    bad += [f'no picture at {s}' for s in page.evaluate("() => [...document.images].filter(i => !i.naturalWidth && !i.src.startsWith('http')).map(i => i.src)")]
    width = page.evaluate('() => [document.documentElement.scrollWidth, window.innerWidth]')
    if width[0] > width[1]+1: bad.append(f'wider than the screen: {width[0]} px on {width[1]}')
    return page.evaluate("() => [...document.querySelectorAll('a[href]')].map(a => a.href)"), bad + errors

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--shots', type=Path, help='a folder for screenshots of every page, wide and narrow')
    a, site, start = p.parse_args(args), ROOT/'build'/'site'/'html', time.time()
    chrome = next((c for c in map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome')) if c), None)
    if not chrome: print('no Chromium on this machine (Debian: apt-get install chromium)', file=sys.stderr); return 2
    if not (site/'index.html').exists(): print('no site yet: make site', file=sys.stderr); return 2
    from playwright.sync_api import sync_playwright
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base, repo, failed, checks, anchors, links = f'http://127.0.0.1:{server.server_port}/', settings()['repo_url'], [], 0, {}, {}
    with sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=chrome, args=FLAGS)
        for name, size in (('wide', (1280, 900)), ('narrow', (390, 844))):
            page, errors = browser.new_page(viewport=dict(zip(('width', 'height'), size))), []
            # the site itself is all that it may ask for; badges of other servers are left out
            page.route('**/*', lambda r: r.continue_() if r.request.url.startswith((base, 'data:')) else r.abort())
            page.on('console', lambda m: errors.append(f'console: {m.text}') if m.type == 'error' and 'ERR_FAILED' not in m.text else None)
            page.on('pageerror', lambda e: errors.append(f'script: {e}'))
            page.on('response', lambda r: errors.append(f'{r.status} {r.url}') if r.status >= 400 else None)
            for f in sorted(site.rglob('*.html')):
                rel = f.relative_to(site).as_posix()
                if rel.startswith('_static') or rel in ('search.html', 'genindex.html', 'py-modindex.html') or (name == 'narrow' and rel.startswith('_modules')): continue
                found, bad = visit(page, base+rel, base, errors)
                links[rel] = found
                anchors[rel] = set(page.evaluate("() => [...document.querySelectorAll('[id]')].map(e => e.id)"))
                checks += 1
                failed += [f'{rel} ({name}): {b}' for b in bad]
                if a.shots and not rel.startswith('_modules'):
                    a.shots.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=a.shots/f"{rel.replace('/', '-')[:-5]}.{name}.png", full_page=name == 'wide')
        for rel, found in links.items():
            for url in set(found):
                checks += 1
                to, at = urldefrag(url)
                if to.startswith(base):
                    target = to[len(base):] or 'index.html'
                    if not (site/target).exists(): failed.append(f'{rel}: leads to {target}, which is not there')
                    elif at and target in anchors and at not in anchors[target]: failed.append(f'{rel}: leads to {target}#{at}, which is not there')
                elif 'colab.research' in url and not re.fullmatch(rf'https://colab\.research\.google\.com/github/{re.escape(repo.split("github.com/")[-1])}/blob/\w+/nbs/(\w+\.ipynb)', url): failed.append(f'{rel}: no Colab address: {url}')
                elif 'colab.research' in url and not (NBS/url.rsplit('/', 1)[-1]).exists(): failed.append(f'{rel}: Colab would not find {url}')
        page = browser.new_page()
        page.goto(f'{base}search.html?q=attention+probe')
        page.wait_for_selector('ul.search li a', timeout=20_000)
        hits = page.eval_on_selector_all('ul.search li a', 'es => es.map(e => e.textContent)')
        checks += 1
        if not any('probe' in h.lower() for h in hits): failed.append(f'the search for «attention probe» finds {hits[:5]}')
        browser.close()
    server.shutdown()
    print(*failed, f'{checks-len(failed)} of {checks} checks of {len(links)} pages hold, in {time.time()-start:.0f} s', sep='\n')
    return 1 if failed else 0

if __name__ == '__main__': sys.exit(main())
