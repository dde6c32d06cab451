"""A plugin of pytest: what became of each test, a line of JSON each, written at once: a suite may die in any of them.

EVEN_SUITE_RESULTS names the file. EVEN_SUITE_CHOICE names one of JSON: `only`, the tests to run (else all), `done`, those
that ran before, `left_out`, regular expressions, and `silent`, loggers.
"""
import json
import logging
import os
import re

import pytest

# The worst of a test's parts is what became of it.
ORDER = ["skipped", "passed", "failed"]


class Results:
    def __init__(self, path, choice):
        # Its own descriptor, opened and closed for each line: tests count those that are open.
        self.open, self.write, self.close = os.open, os.write, os.close
        self.path, self.choice, self.outcome, self.why = path, choice, {}, {}
        self.left_out = [re.compile(pattern) for pattern in choice.get("left_out", ())]

    def tell(self, **line):
        file = self.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        try:
            self.write(file, (json.dumps(line) + "\n").encode())
        finally:
            self.close(file)

    def pytest_ignore_collect(self, collection_path, config):
        """Modules that are left out are not even imported."""
        if not collection_path.is_relative_to(config.rootpath):
            return None
        name = f"{collection_path.relative_to(config.rootpath)}{'/' if collection_path.is_dir() else ''}"
        return True if any(pattern.search(name) for pattern in self.left_out) else None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        only, done = self.choice.get("only"), set(self.choice.get("done", ()))
        only = only if only is None else set(only)
        chosen, others, unwanted = [], [], 0
        for item in items:
            if any(pattern.search(item.nodeid) for pattern in self.left_out):
                unwanted += 1
                others.append(item)
            elif item.nodeid in done or (only is not None and item.nodeid not in only):
                others.append(item)
            else:
                chosen.append(item)
        items[:] = chosen
        if others:
            config.hook.pytest_deselected(items=others)
        self.tell(left_out=unwanted)

    def pytest_collectreport(self, report):
        if report.failed:
            self.tell(test=report.nodeid or "collection", outcome="failed", why=str(report.longrepr)[-6000:])

    def pytest_runtest_logstart(self, nodeid, location):
        self.outcome[nodeid], self.why[nodeid] = "skipped", ""
        self.tell(begun=nodeid)

    def pytest_runtest_logreport(self, report):
        nodeid = report.nodeid
        outcome = report.outcome
        if outcome == "passed" and report.when != "call":
            return
        if ORDER.index(outcome) >= ORDER.index(self.outcome.get(nodeid, "skipped")):
            self.outcome[nodeid] = outcome
            if outcome != "passed":
                self.why[nodeid] = f"{report.when}: {str(report.longrepr)[-6000:]}"

    def pytest_runtest_logfinish(self, nodeid, location):
        self.tell(test=nodeid, outcome=self.outcome.pop(nodeid, "skipped"), why=self.why.pop(nodeid, ""))

    def pytest_sessionfinish(self, session, exitstatus):
        self.tell(finished=int(exitstatus))


def pytest_configure(config):
    # Taken out: a suite that tests a plugin of pytest runs pytest itself.
    path, choice = os.environ.pop("EVEN_SUITE_RESULTS", None), os.environ.pop("EVEN_SUITE_CHOICE", None)
    if path and choice:
        with open(choice) as file:
            choice = json.load(file)
        for name in choice.get("silent", ()):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        config.pluginmanager.register(Results(path, choice), "even-suite-results")
