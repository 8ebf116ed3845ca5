"""In a headless Chromium: JupyterLab runs notebooks as a student does, and the website is used."""

import io
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from doubles import free_port, without
from PIL import Image

from tools import ROOT, site

webdriver = pytest.importorskip(
    "selenium.webdriver", reason="the browser run needs the package selenium"
)
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="the browser run needs chromium and chromedriver"
    ),
]

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync
--window-size=1400,1000""".split()
STILL = "<style>* {transition: none !important}"
RUN_SECONDS, WAIT_SECONDS = 1500, 240
# What a student's kernel does not have.
OURS = ("OMP_NUM_THREADS", "FMCOURSE_PROFILE", "FMCOURSE_PREDICTIONS", "PYTEST_", "COV_")
NOTEBOOK = "window.jupyterapp.shell.currentWidget"


def wait(condition, seconds=WAIT_SECONDS):
    """Return what a condition gives as soon as it holds; the page may still be under way."""
    patient = WebDriverWait(None, seconds, ignored_exceptions=[Exception])
    return patient.until(lambda driver: condition())


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'chromium'}"]:
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(WAIT_SECONDS)
    yield driver
    driver.quit()


@contextmanager
def jupyterlab(folder, **variables):
    """Serve a copy of the student edition, and give its address."""
    shutil.copytree(ROOT / "notebooks" / "student", folder / "notebooks")
    port = free_port()
    env = without(*OURS)
    for name in ("FMCOURSE_STATE", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        env[name] = str(folder / "state")
    options = ("no-browser", "allow-root", "LabApp.expose_app_in_browser=True", f"port={port}")
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={folder}"]
    command += [f"--{option}" for option in options] + ["--IdentityProvider.token="]
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=env | variables, stdout=log, stderr=log, cwd=folder)
    try:
        wait(lambda: socket.create_connection(("127.0.0.1", port), 1))
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/"
    finally:
        server.terminate()
        server.wait(30)


def run_all(browser, address):
    """Open a notebook, run all its cells, and return its code cells.

    Every cell ran, none failed, and every picture has its alt text.
    """
    browser.get(f"{address}?reset")
    kernel = f"{NOTEBOOK}.sessionContext.session.kernel"
    wait(lambda: browser.execute_script(f"return {kernel}.status") == "idle")
    browser.execute_script(
        "window.ended = null;"
        "window.jupyterapp.commands.execute('notebook:run-all-cells')"
        ".finally(() => { window.ended = true; });"
    )
    script = f"return JSON.stringify({NOTEBOOK}.content.model.sharedModel.toJSON())"
    ended = f"return window.ended && {kernel}.status === 'idle'"
    wait(lambda: browser.execute_script(ended), RUN_SECONDS)
    notebook = nbformat.reads(browser.execute_script(script), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        assert cell.execution_count, cell.source
        for output in cell.outputs:
            assert output.output_type != "error", output
            if "image/png" in output.get("data", {}):
                assert output.metadata["image/png"]["alt"], cell.source
    return code


def widget(browser, source):
    """Scroll to the cell whose source holds a text; return it, and what its widget's HTML says."""
    script = f"""const book = {NOTEBOOK}.content;
    const cell = book.widgets.find(each => each.model.sharedModel.source.includes(arguments[0]));
    book.activeCellIndex = book.widgets.indexOf(cell);
    return book.scrollToItem(book.activeCellIndex).then(() => cell.node);"""
    cell = browser.execute_script(script, source)

    def said():
        return cell.find_element(By.CSS_SELECTOR, ".widget-html-content").text

    wait(said)
    return cell, said


def test_predictions_come_first_and_a_slider_reacts(browser, tmp_path):
    with jupyterlab(tmp_path) as address:
        code = run_all(browser, address + "00_the_report.ipynb")
        asked = [str(cell.outputs) for cell in code if "predictions.predict(" in cell.source]
        reveals = [cell.outputs for cell in code if "predictions.reveal(" in cell.source]
        assert asked and reveals
        for shown in asked:
            assert "measured" not in shown.lower() and "image/png" not in shown
        for outputs in reveals:
            (output,) = outputs
            assert re.fullmatch("Predict first.*\n", output.text)
        cell, said = widget(browser, "widgets.shots_explorer")
        before = said()
        cell.find_element(By.CSS_SELECTOR, ".noUi-handle").send_keys(Keys.ARROW_RIGHT)
        wait(lambda: said() != before)
        assert not cell.find_elements(By.CSS_SELECTOR, "[title=null]")


def test_pictures_stand_on_white_in_a_dark_theme(browser, tmp_path):
    with jupyterlab(tmp_path, FMCOURSE_PREDICTIONS="skip") as address:
        run_all(browser, address + "03_clip_fine_tuning.ipynb")
        dark = "window.jupyterapp.commands.execute('apputils:change-theme', {theme: arguments[0]})"
        browser.execute_script(f"return {dark}.then(() => true)", "JupyterLab Dark")
        cell, said = widget(browser, "widgets.picture_search")
        before = said()
        field = cell.find_element(By.CSS_SELECTOR, "input[type=text]")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys("a red fruit", Keys.ENTER)
        wait(lambda: said() != before)
        picture = wait(lambda: cell.find_element(By.CSS_SELECTOR, "figure img"))
        assert picture.get_attribute("alt")
        corner = np.asarray(Image.open(io.BytesIO(picture.screenshot_as_png)).convert("L"))[2, 2]
        around = np.asarray(Image.open(io.BytesIO(cell.screenshot_as_png)).convert("L"))[2, -2]
        assert corner > 250 and around < 100


# The website.


@pytest.fixture(scope="module")
def pages():
    """Return the pages of the website, built from the notebooks as they are."""
    assert site.build(ROOT) == 0
    return sorted((ROOT / "build" / "site").glob("*.html"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault_on_any_page(browser, pages, theme):
    axe = pytest.importorskip("axe_playwright_python")
    script = (Path(axe.__path__[0]) / "axe.min.js").read_text("utf-8")
    faults = {}
    for page in pages:
        browser.get(page.as_uri())
        # Colours that fade from theme to theme would be judged half-way.
        browser.execute_script(f"document.head.innerHTML += '{STILL}'")
        browser.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
        browser.execute_script(script)
        found = browser.execute_async_script(
            """const done = arguments[arguments.length - 1];
            axe.run().then(all => done(all.violations.map(
                each => [each.id, each.nodes.map(node => node.html.slice(0, 99))])))"""
        )
        if found:
            faults[page.name] = found
    assert faults == {}


def test_on_a_phone_no_page_is_wider_than_the_screen_and_code_scrolls(browser, pages):
    browser.set_window_size(500, 900)
    moved = []
    for page in pages:
        browser.get(page.as_uri())
        wide, shown = browser.execute_script(
            "const all = document.documentElement; return [all.scrollWidth, all.clientWidth]"
        )
        assert wide <= shown, page.name
        moved += browser.execute_script(
            """return [...document.querySelectorAll('.highlight pre')]
            .filter(code => code.scrollWidth > code.clientWidth + 1)
            .map(code => { code.scrollLeft = 9; return code.scrollLeft; })"""
        )
    assert moved and min(moved) > 0


def test_search_finds_a_page_and_evidence_is_filtered(browser, pages):
    browser.get(pages[0].with_name("search.html").as_uri() + "?q=forget")
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, "#search-results li a"), 60)
    browser.get(pages[0].with_name("evidence.html").as_uri())
    shown = "return [...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).length"
    before = browser.execute_script(shown)
    browser.find_element(By.ID, "filter").send_keys("undecided")
    assert 0 < browser.execute_script(shown) < before
