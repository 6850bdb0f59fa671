"""Reads the built site in a headless Chromium, as a visitor would: every page without errors, mathematics and figures
drawn, links that lead somewhere, a search that finds. `browse.py [--shots FOLDER]`

Needs a Chromium on the machine (Debian: apt-get install chromium) and playwright."""
import argparse, re, shutil, sys, threading, time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urldefrag
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, ROOT, settings

FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync']
SIZES = {'wide': {'width': 1280, 'height': 900}, 'narrow': {'width': 390, 'height': 844}}
NOT_READ = 'search.html', 'genindex.html', 'py-modindex.html'

DRAWN = """() => [...document.querySelectorAll('span.math, div.math')]
           .every(e => e.querySelector('mjx-container'))"""
LOADED = '() => [...document.images].every(i => i.complete)'
NO_PICTURE = """() => [...document.images]
                .filter(i => !i.naturalWidth && !i.src.startsWith('http')).map(i => i.src)"""
WIDTH = '() => [document.documentElement.scrollWidth, window.innerWidth]'
LINKS = "() => [...document.querySelectorAll('a[href]')].map(a => a.href)"
ANCHORS = "() => [...document.querySelectorAll('[id]')].map(e => e.id)"

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_): pass

@contextmanager
def served(folder):
    "The address of a folder while it is served."
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}/'
    finally: server.shutdown()

def opened(browser, base, **viewport):
    "(a page that asks for nothing but the site, its list of errors)"
    page, errors = browser.new_page(viewport=viewport), []
    def asked(route):       # badges of other servers are left out
        if route.request.url.startswith((base, 'data:')): route.continue_()
        else: route.abort()
    def said(message):
        if message.type == 'error' and 'ERR_FAILED' not in message.text: errors.append(f'console: {message.text}')
    def answered(response):
        if response.status >= 400: errors.append(f'{response.status} {response.url}')
    page.route('**/*', asked)
    page.on('console', said)
    page.on('pageerror', lambda e: errors.append(f'script: {e}'))
    page.on('response', answered)
    return page, errors

def becomes(page, what):
    "Whether a condition holds within some seconds."
    try: page.wait_for_function(what, timeout=20_000)
    except Exception: return False
    return True

def visit(page, url, errors):
    "Opens a page; returns its links, and what is wrong with it."
    bad = []
    errors.clear()
    page.goto(url, wait_until='load')
    if page.query_selector('span.math, div.math'):
        if not becomes(page, DRAWN): bad.append('mathematics is not drawn')
        if page.query_selector('mjx-merror, [data-mjx-error]'): bad.append('an equation has an error')
    page.evaluate("() => document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    if not becomes(page, LOADED): bad.append('images do not load')
    bad += [f'no picture at {s}' for s in page.evaluate(NO_PICTURE)]
    width, there = page.evaluate(WIDTH)
    if width > there+1: bad.append(f'wider than the screen: {width} px on {there}')
    return page.evaluate(LINKS), bad + errors

def read_pages(browser, base, site, shots):
    "(links of each page, its anchors, what is wrong, how many were read), wide and narrow."
    links, anchors, failed, checks = {}, {}, [], 0
    for name, size in SIZES.items():
        page, errors = opened(browser, base, **size)
        for f in sorted(site.rglob('*.html')):
            rel = f.relative_to(site).as_posix()
            if rel.startswith('_static') or rel in NOT_READ: continue
            code = rel.startswith('_modules')
            if name == 'narrow' and code: continue
            links[rel], bad = visit(page, base+rel, errors)
            anchors[rel] = set(page.evaluate(ANCHORS))
            checks += 1
            failed += [f'{rel} ({name}): {b}' for b in bad]
            if shots and not code:
                shots.mkdir(parents=True, exist_ok=True)
                shot = shots/f"{rel.replace('/', '-')[:-5]}.{name}.png"
                page.screenshot(path=shot, full_page=name == 'wide')
    return links, anchors, failed, checks

def astray(url, base, site, anchors, repo):
    "What is wrong with a link, or None; other servers are not asked."
    to, at = urldefrag(url)
    if to.startswith(base):
        target = to[len(base):] or 'index.html'
        if not (site/target).exists(): return f'leads to {target}, which is not there'
        if at and target in anchors and at not in anchors[target]: return f'leads to {target}#{at}, which is not there'
    elif 'colab.research' in url:
        home = re.escape(f"https://colab.research.google.com/github/{repo.split('github.com/')[-1]}/blob/")
        if not re.fullmatch(rf'{home}\w+/nbs/(\w+\.ipynb)', url): return f'no Colab address: {url}'
        if not (NBS/url.rsplit('/', 1)[-1]).exists(): return f'Colab would not find {url}'
    return None

def search(browser, base):
    "What the site's search finds."
    page = browser.new_page()
    page.goto(f'{base}search.html?q=attention+probe')
    page.wait_for_selector('ul.search li a', timeout=20_000)
    return page.eval_on_selector_all('ul.search li a', 'es => es.map(e => e.textContent)')

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.add_argument('--shots', type=Path, help='a folder for screenshots of every page, wide and narrow')
    shots, site, start = p.parse_args(args).shots, ROOT/'build'/'site'/'html', time.time()
    chrome = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if not chrome:
        print('no Chromium on this machine (Debian: apt-get install chromium)', file=sys.stderr)
        return 2
    if not (site/'index.html').exists():
        print('no site yet: make site', file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright
    repo = settings()['repo_url']
    with served(site) as base, sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=chrome, args=FLAGS)
        links, anchors, failed, checks = read_pages(browser, base, site, shots)
        for rel, found in links.items():
            for url in set(found):
                checks += 1
                if why := astray(url, base, site, anchors, repo): failed.append(f'{rel}: {why}')
        hits = search(browser, base)
        checks += 1
        if not any('probe' in h.lower() for h in hits):
            failed.append(f'the search for «attention probe» finds {hits[:5]}')
        browser.close()
    said = f'{checks-len(failed)} of {checks} checks of {len(links)} pages hold, in {time.time()-start:.0f} s'
    print(*failed, said, sep='\n')
    return 1 if failed else 0

if __name__ == '__main__': sys.exit(main())
