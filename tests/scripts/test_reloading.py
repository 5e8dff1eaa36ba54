"""What is saved is what runs, unless it does not load."""

from __future__ import annotations

from tests.scripts.standing import Standing


def saying(word: str) -> str:
    return f'async def handle(req, res, ctx):\n    return {{"said": "{word}"}}\n'


async def test_a_file_that_was_saved_runs_with_the_next_request(standing: Standing) -> None:
    standing.write(saying("old"))
    await standing.start()
    assert await standing.call() == (200, {"said": "old"})
    standing.write(saying("new"))
    assert await standing.call() == (200, {"said": "new"})


BROKEN = [
    ("async def handle(req, res, ctx):\n    return {\n\n", "api/v1/[...path].py:2: '{' was never closed"),
    ("\n# @timeout 0\n", "api/v1/[...path].py:2: @timeout must be a number of seconds"),
    ("# @tiemout 10\n", "api/v1/[...path].py:1: @tiemout"),
    ("import os\n\nx = os.no_such\n", "api/v1/[...path].py:3: AttributeError:"),
    ("import no_such_module\n", "api/v1/[...path].py:1: ModuleNotFoundError: No module named 'no_such_module'"),
    ("def handle(req, res, ctx):\n    return {}\n", "api/v1/[...path].py:1: there is no `async def handle"),
    ("\nasync def handle(req, res):\n    return {}\n", "api/v1/[...path].py:2: handle must take req, res, ctx"),
    ("x = 1\n", "there is no `async def handle(req, res, ctx)`"),
    ("raise SystemExit('out')\n", "api/v1/[...path].py:1: SystemExit: out"),
]


async def test_a_version_that_does_not_load_is_told_with_its_line_and_the_old_one_stays(standing: Standing) -> None:
    path = standing.write(saying("old"))
    await standing.start()
    await standing.call()
    for text, error in BROKEN:
        path.write_text(text)
        assert await standing.call() == (200, {"said": "old"})
        told = (await standing.health())["files"]["api/v1/[...path].py"]
        assert told["loaded"]
        assert error in told["error"]
        assert told["timeout"] == 300
    path.write_text(saying("mended"))
    assert await standing.call() == (200, {"said": "mended"})
    assert (await standing.health())["files"]["api/v1/[...path].py"]["error"] == ""


async def test_a_file_that_never_loaded_and_one_that_is_not_there_answer_nothing(standing: Standing) -> None:
    standing.write("def\n")
    await standing.start()
    code, cause = await standing.failed()
    assert (code, cause.split(": ")[0]) == ("script.not_loaded", "api/v1/[...path].py:1")
    assert await standing.failed(script="api/v1/no.py") == ("script.not_loaded", "api/v1/no.py: there is no such file")


async def test_no_name_leads_out_of_the_folder_of_the_exec(standing: Standing) -> None:
    standing.write(saying("other"), "api/v1/x.py", exec_id="2")
    await standing.start()
    for name in ("../2/api/v1/x.py", "api/../../2/api/v1/x.py", "/etc/passwd", "lib/x.py", "api/v1/x.txt", ""):
        assert (await standing.failed(script=name))[0] == "script.not_loaded"


async def test_a_file_that_is_taken_away_answers_no_more(standing: Standing) -> None:
    path = standing.write(saying("old"))
    await standing.start()
    await standing.call()
    path.unlink()
    assert (await standing.failed())[0] == "script.not_loaded"


async def test_reloading_looks_at_every_file_and_at_what_they_import(standing: Standing) -> None:
    standing.write('WORD = "one"\n', "_words.py")
    standing.write("import _words\n\nasync def handle(req, res, ctx):\n    return {'said': _words.WORD}\n")
    standing.write("def\n", "api/v1/chat/completions.py")
    await standing.start()
    assert await standing.call() == (200, {"said": "one"})
    standing.write('WORD = "two"\n', "_words.py")
    told = await (await standing.request("POST", "/reload", {}, b"")).json()
    assert {name: each["loaded"] for name, each in told["files"].items()} == {
        "api/v1/[...path].py": True,
        "api/v1/chat/completions.py": False,
    }
    assert await standing.call() == (200, {"said": "two"})


async def test_the_health_of_a_worker_tells_the_header_of_its_scripts(standing: Standing) -> None:
    standing.write("# @mode worker\n# @log-level debug\n# @timeout 12.5\n" + saying("x"))
    await standing.start()
    await standing.call()
    told = await standing.health()
    assert told["files"]["api/v1/[...path].py"] == {
        "loaded": True, "error": "", "mode": "worker", "log_level": "debug", "timeout": 12.5,
    }  # fmt: skip
