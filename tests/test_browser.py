"""JupyterLab in a headless Chromium runs notebooks 00, 03 and 05 as a student does."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import nbformat
import numpy as np
import pytest
from PIL import Image

from tools.form import read, write
from tools.pages import page

webdriver = pytest.importorskip(
    "selenium.webdriver", reason="the browser run needs the package selenium"
)
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

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
RUN_SECONDS, WAIT_SECONDS = 1500, 240
# What a student's kernel does not have.
OURS = ("OMP_NUM_THREADS", "FMCOURSE_PROFILE", "FMCOURSE_PREDICTIONS", "PYTEST_", "COV_")
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
BAR = re.compile(r"training.*\d+/\d+")


def wait(condition, seconds=WAIT_SECONDS):
    """Return what a condition gives as soon as it holds; the page may still be under way."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = condition()
        except Exception:
            found = None
        if found:
            return found
        time.sleep(0.5)
    raise TimeoutError(f"{condition} did not hold within {seconds} s")


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
def jupyterlab(folder, root, **variables):
    """Serve a copy of the notebooks without outputs, and give its address."""
    (folder / "notebooks").mkdir()
    for path in (root / "notebooks").glob("*.ipynb"):
        notebook = read(path)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
        write(notebook, folder / "notebooks" / path.name)
    shutil.copytree(root / "images", folder / "images")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    for name in ("FMCOURSE_STATE", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        env[name] = str(folder / "state")
    env |= variables
    options = ("no-browser", "allow-root", "LabApp.expose_app_in_browser=True", f"port={port}")
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={folder}"]
    command += [f"--{option}" for option in options] + ["--IdentityProvider.token="]
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
    try:
        wait(lambda: socket.create_connection(("127.0.0.1", port), 1))
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/"
    finally:
        server.terminate()
        server.wait(30)


def contents(browser):
    """Return the notebook as it stands in the page, with its outputs."""
    script = f"return JSON.stringify({NOTEBOOK}.content.model.sharedModel.toJSON())"
    return nbformat.reads(browser.execute_script(script), as_version=4)


def run_all(browser, address):
    """Open a notebook, run all its cells, and return it and whether progress was seen."""
    browser.get(f"{address}?reset")
    kernel = f"{NOTEBOOK}.sessionContext.session.kernel"
    wait(lambda: browser.execute_script(f"return {kernel}.status") == "idle")
    browser.execute_script(
        "window.ended = null;"
        "window.jupyterapp.commands.execute('notebook:run-all-cells')"
        ".finally(() => { window.ended = true; });"
    )
    moved = set()

    def ended():
        for cell in contents(browser).cells:
            for output in cell.get("outputs", []):
                moved.update(BAR.findall(str(output.get("data", output))))
        return browser.execute_script(f"return window.ended && {kernel}.status === 'idle'")

    wait(ended, RUN_SECONDS)
    return contents(browser), moved


def texts(cell):
    """Return all that a cell shows as text."""
    shown = [output.get("text", "") for output in cell.outputs]
    return "".join(shown + [str(output.get("data", "")) for output in cell.outputs])


def check(notebook):
    """Check that every cell ran, none failed, and every picture has its alt text."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        assert cell.execution_count, cell.source
        for output in cell.outputs:
            assert output.output_type != "error", texts(cell)
            if "image/png" in output.get("data", {}):
                assert output.metadata["image/png"]["alt"], cell.source


def show(browser, source):
    """Scroll to the cell whose source contains a text, and return its element."""
    script = f"""const book = {NOTEBOOK}.content;
    const cell = book.widgets.find(each => each.model.sharedModel.source.includes(arguments[0]));
    book.activeCellIndex = book.widgets.indexOf(cell);
    return book.scrollToItem(book.activeCellIndex).then(() => cell.node);"""
    return browser.execute_script(script, source)


def widget(browser, source):
    """Return the cell and the HTML of the widget in it, once they are drawn."""
    cell = show(browser, source)
    wait(lambda: cell.find_element(By.CSS_SELECTOR, ".widget-html-content").text)
    return cell, lambda: cell.find_element(By.CSS_SELECTOR, ".widget-html-content").text


def test_predictions_come_first_and_a_slider_reacts(browser, tmp_path, root):
    with jupyterlab(tmp_path, root) as address:
        notebook, _ = run_all(browser, address + "00_the_report.ipynb")
        check(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        asked = [cell for cell in code if "predictions.predict(" in cell.source]
        reveals = [cell for cell in code if "predictions.reveal(" in cell.source]
        assert asked and reveals
        for cell in asked:
            assert "measured" not in texts(cell).lower() and "image/png" not in texts(cell)
        for cell in reveals:
            assert re.fullmatch("Predict first.*\n", texts(cell))
        cell, said = widget(browser, "widgets.shots_explorer")
        before = said()
        cell.find_element(By.CSS_SELECTOR, ".noUi-handle").send_keys(Keys.ARROW_RIGHT)
        wait(lambda: said() != before)
        assert not cell.find_elements(By.CSS_SELECTOR, "[title=null]")
    # The page of the executed notebook, on a phone.
    (tmp_path / "page.html").write_text(page(notebook, "00"), encoding="utf-8")
    browser.set_window_size(500, 900)
    browser.get((tmp_path / "page.html").as_uri())
    scrolled = """return [...document.querySelectorAll('.highlight pre')]
        .filter(code => code.scrollWidth > code.clientWidth + 1)
        .map(code => { code.scrollLeft = 9; return code.scrollLeft; })"""
    moved = browser.execute_script(scrolled)
    assert moved and min(moved) > 0


def test_training_shows_progress_and_pictures_stand_on_white(browser, tmp_path, root):
    with jupyterlab(tmp_path, root, FMCOURSE_PREDICTIONS="skip") as address:
        notebook, moved = run_all(browser, address + "03_clip_fine_tuning.ipynb")
        check(notebook)
        assert len(moved) > 2, moved
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


def test_notebook_05_runs_through(browser, tmp_path, root):
    with jupyterlab(tmp_path, root, FMCOURSE_PREDICTIONS="skip") as address:
        notebook, _ = run_all(browser, address + "05_data_management.ipynb")
        check(notebook)
        cell, said = widget(browser, "widgets.drift_explorer")
        before = said()
        cell.find_element(By.CSS_SELECTOR, ".noUi-handle").send_keys(Keys.PAGE_UP)
        wait(lambda: said() != before)
