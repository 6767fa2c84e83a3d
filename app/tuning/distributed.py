"""Keras Tuner's chief and workers, so that neither waits for ever for the other.

The messages are Keras Tuner's own (version 1.4.8): this file alone touches its internals.
"""

import contextlib
import hmac
import logging
import math
import os
import secrets
import threading
import time
from concurrent import futures

import grpc
from keras_tuner.src import config as tuner_config
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient
from keras_tuner.src.engine import conditions
from keras_tuner.src.engine.trial import Trial

from app.errors import UserError

LOG = logging.getLogger("kerasmorph")
BEAT_SECONDS, SAY_SECONDS = 5.0, 20.0
TOKEN, WORKER = "kerasmorph-token", "kerasmorph-worker"  # metadata of each call
TOKEN_FILE = "KERASMORPH_TOKEN_FILE"  # variable that names the file with the search's token
conditions.print = lambda *words: None  # 1.4.8 prints each condition's value whenever it sends one
tuner_config.DEBUG = False  # a failed trial is one line; its traceback is in its error.txt
OPTIONS = [("grpc.max_reconnect_backoff_ms", 2000), ("grpc.so_reuseport", 0)]


def role():
    """What Keras Tuner's environment variables make of this process.

    Returns:
        "alone", "chief" or "worker".
    """
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return "alone"
    return "chief" if "chief" in os.environ["KERASTUNER_TUNER_ID"] else "worker"


class PatientOracle(OracleClient):
    """A worker's line to the chief that outlives the chief's restart.

    A call that was cut off is repeated: the chief's answers do not depend on how often it is asked.

    Args:
        oracle: The worker's own copy, for its settings.
        patience_seconds: Time without a chief after which a call raises `UserError`.
    """

    def __init__(self, oracle, patience_seconds=600.0):
        super().__init__(oracle)
        address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
        self.stub = _Repeating(protos.get_service_grpc().OracleStub, address, patience_seconds)

    def create_trial(self, tuner_id):
        """See `keras_tuner.Oracle`; while others must end first, the answer is given a second."""
        trial = super().create_trial(tuner_id)
        if trial.status == "IDLE":
            time.sleep(1.0)
        return trial

    @contextlib.contextmanager
    def heartbeat(self, trial_id):
        """Report to the chief at intervals that this worker is alive.

        Args:
            trial_id: The trial at work.
        """
        over = threading.Event()

        def beat():
            while not over.wait(BEAT_SECONDS):
                with contextlib.suppress(Exception):  # the work itself goes on without a chief
                    self.update_trial(trial_id, {})

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class _Repeating:
    """A gRPC stub whose calls are repeated while the server is away, which is said now and then."""

    def __init__(self, kind, address, patience_seconds):
        self._address, self._patience, self._said = address, patience_seconds, 0.0
        self._stub = kind(grpc.insecure_channel(address, options=OPTIONS))

    def __getattr__(self, name):
        def call(request, **_):
            started = time.monotonic()
            while True:
                self._say(started)
                try:
                    metadata = [(TOKEN, _token()), (WORKER, os.environ["KERASTUNER_TUNER_ID"])]
                    # A short time: a channel may miss that the server is back.
                    return getattr(self._stub, name)(
                        request, wait_for_ready=True, timeout=SAY_SECONDS, metadata=metadata
                    )
                except FileNotFoundError:
                    time.sleep(0.5)  # the chief, which writes the token, has not begun
                except grpc.RpcError as error:
                    if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                        raise UserError(
                            f"the chief at {self._address} does not know the token {os.environ.get(TOKEN_FILE)}: it "
                            "leads another search; correct --address, or share its output folder"
                        ) from None
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        raise
                    time.sleep(0.5)
                if time.monotonic() - started > self._patience:
                    raise UserError(
                        f"no chief at {self._address} for {self._patience:.0f} s; start it, or correct --address"
                    )

        return call

    def _say(self, started):
        now = time.monotonic()
        if now - started >= SAY_SECONDS and now - self._said >= SAY_SECONDS:
            self._said = now
            LOG.info("waiting for the chief at %s, since %.0f s", self._address, now - started)


def make_token(path):
    """Write a search's token, which its workers read: whoever cannot read the output folder takes no part.

    Args:
        path: File; one that is there is kept.
    """
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w") as file:
            file.write(secrets.token_hex(32))


def _token():
    """The search's token; "" where no file is named, as between processes of a program of one's own."""
    if TOKEN_FILE not in os.environ:
        return ""
    with open(os.environ[TOKEN_FILE]) as file:
        return file.read().strip()


class _Gate(grpc.ServerInterceptor):
    """Lets in whoever knows the token."""

    def __init__(self, token):
        self.token = token

        def refuse(request, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "another search's token, or none")

        self.refusal = grpc.unary_unary_rpc_method_handler(refuse)

    def intercept_service(self, continuation, call):
        """See `grpc.ServerInterceptor`."""
        given = dict(call.invocation_metadata).get(TOKEN, "")
        known = hmac.compare_digest(str(given).encode(), self.token.encode())
        return continuation(call) if known else self.refusal


class _Servicer(OracleServicer):
    """Keras Tuner's servicer, which also knows when it was last asked."""

    def __init__(self, oracle):
        super().__init__(oracle)
        self.last_call = {}

    def CreateTrial(self, request, context):  # noqa: N802 - gRPC's name
        self.last_call[request.tuner_id] = time.monotonic()
        return super().CreateTrial(request, context)

    def UpdateTrial(self, request, context):  # noqa: N802
        if not self._holds(request.trial_id, context):
            known = self.oracle.trials.get(request.trial_id) or Trial(
                self.oracle.get_space(), request.trial_id, "STOPPED"
            )
            return protos.get_service().UpdateTrialResponse(trial=known.to_proto())
        for name in [name for name, value in request.metrics.items() if not math.isfinite(value)]:
            LOG.info("trial %s: %s is not finite in step %s; left out", request.trial_id, name, request.step)
            del request.metrics[name]
        return super().UpdateTrial(request, context)

    def EndTrial(self, request, context):  # noqa: N802
        if not self._holds(request.trial.trial_id, context):
            return protos.get_service().EndTrialResponse()
        return super().EndTrial(request, context)

    def _holds(self, trial_id, context):
        """Whether the trial is the caller's; not if it was taken for dead, and the trial went to another."""
        worker = dict(context.invocation_metadata()).get(WORKER, "")
        held = self.oracle.ongoing_trials.get(worker)
        if held is None or held.trial_id != trial_id:
            LOG.info("worker %s reports of trial %s, which it does not hold; left out", worker, trial_id)
            return False
        return True


def serve(oracle, patience_seconds=3600.0):
    """Be the chief until the search is over and its workers know it.

    Args:
        oracle: `SearchOracle`.
        patience_seconds: Time without any worker after which the chief gives up.

    Returns:
        Whether the search came to its end.

    Raises:
        UserError: If the address cannot be had.
    """
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    # One thread: a trial is created and saved before the next is.
    pool = futures.ThreadPoolExecutor(max_workers=1)
    server = grpc.server(pool, interceptors=[_Gate(_token())], options=OPTIONS)
    servicer = _Servicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise UserError(
            f"--address {address}: cannot be listened on ({str(error)[:80]}); choose a free port of this machine"
        ) from None
    server.start()
    LOG.info("chief listens on %s", address)
    started = time.monotonic()
    try:
        while True:
            time.sleep(0.5)
            now = time.monotonic()
            heard = max([started, *oracle.heard.values(), *servicer.last_call.values()])
            if servicer.stop_triggered and not oracle.ongoing_trials:
                waiting = [
                    tuner_id for tuner_id in oracle.tuner_ids if now - servicer.last_call.get(tuner_id, started) < 30.0
                ]
                if not waiting:
                    return True
            if now - heard > patience_seconds:
                return False
    finally:
        server.stop(grace=2.0).wait()
