"""Programs that bring threads and signals of their own to a loop: Jupyter's kernel, Twisted's reactor."""
import json
import os
import sys
import unittest

from started import ASYNCIO, EVENLOOP, PATIENCE, StartedTest, installed, line
from support import OURS, python

LINE = '"argv": ["python", "-m", "evenloop", "-m", "ipykernel_launcher", "-f", "{connection_file}"]'

REACTOR = """
import asyncio, sys
import evenloop
from twisted.internet import asyncioreactor
asyncioreactor.install({loop})
from twisted.internet import protocol, reactor

class Process(protocol.ProcessProtocol):
    def outReceived(self, data):
        print("it said", data)
    def processEnded(self, reason):
        print("it ended with", reason.value.exitCode)
        reactor.stop()

reactor.callWhenRunning(reactor.spawnProcess, Process(), sys.argv[1], sys.argv[1:], {{}})
reactor.callLater(20, reactor.stop)     # it has heard of no end
reactor.run()
"""


class Kernel(StartedTest):
    @installed("ipykernel", "jupyter_client")
    @line("Jupyter", LINE)
    def test_jupyter(self, text):
        ours = json.loads("{" + text + "}")["argv"]
        self.assertEqual(ours[:3], ["python", "-m", "evenloop"])
        with self.subTest("asyncio"):
            self.works(ours[:1] + ours[3:], ASYNCIO)
        for backend in OURS:
            with self.subTest(backend):
                self.works(ours, EVENLOOP, EVENLOOP_BACKEND=backend)

    def works(self, argv, kind, **environment):
        """A kernel started so computes, is on such a loop, and shuts down."""
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import KernelManager

        class Manager(KernelManager):
            kernel_spec = KernelSpec(argv=[sys.executable, *argv[1:]], language="python", display_name="of the test")

        manager = Manager()
        said = open(os.path.join(self.folder, "said"), "w+")
        self.addCleanup(said.close)
        environment = {**os.environ, "HOME": self.folder, **environment}
        manager.start_kernel(cwd=self.folder, stdout=said, stderr=said, env=environment)
        try:
            client = manager.client()
            client.start_channels()
            try:
                client.wait_for_ready(timeout=PATIENCE)
                self.assertEqual(self.result(client, "1+1"), "2")
                self.assertEqual(self.result(client, "import asyncio; type(asyncio.get_running_loop())"), kind)
                manager.shutdown_kernel()
                self.assertFalse(manager.is_alive())
            finally:
                client.stop_channels()
        except Exception as why:
            said.seek(0)
            why.add_note(said.read())
            raise
        finally:
            manager.shutdown_kernel(now=True)

    def result(self, client, code):
        results = []

        def output(message):
            if message["msg_type"] == "execute_result":
                results.append(message["content"]["data"]["text/plain"])

        reply = client.execute_interactive(code, timeout=PATIENCE, output_hook=output)["content"]
        self.assertEqual((reply["status"], len(results)), ("ok", 1), reply)
        return results[0]


class Reactor(unittest.TestCase):
    @installed("twisted")
    def test_twisteds_process(self):
        """Twisted's reactor hears of a child's end by a signal handler of its own and by signal.set_wakeup_fd()."""
        loops = {"asyncio": "asyncio.SelectorEventLoop()"} | {name: f"evenloop.Loop(backend={name!r})" for name in OURS}
        # When a child's pipes are closed the reactor looks once, by itself, whether it has ended: the second has not.
        commands = ("/bin/echo", "hello"), ("/bin/sh", "-c", "echo hello; exec <&- >&- 2>&-; exec /bin/sleep 0.3")
        for name, loop in loops.items():
            for command in commands:
                with self.subTest(name, command=command):
                    done = python("-c", REACTOR.format(loop=loop), *command)
                    said = (done.returncode, done.stdout)
                    self.assertEqual(said, (0, "it said b'hello\\n'\nit ended with 0\n"), done.stderr)


if __name__ == "__main__":
    unittest.main()
