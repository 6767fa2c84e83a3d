"""Keras Tuner's chief and workers, so that neither waits for ever for the other.

The messages are Keras Tuner's own (version 1.4.8): this file alone touches its internals.
"""

import contextlib
import logging
import os
import threading
import time
from concurrent import futures

import grpc
from keras_tuner.src import config as tuner_config
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient
from keras_tuner.src.engine import conditions

LOG = logging.getLogger("kerasmorph")
BEAT_SECONDS = 5.0
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
        patience_seconds: Time without a chief after which a call raises.
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
        """Tell the chief now and then that this worker is alive.

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
    """A gRPC stub whose calls are repeated while the server is away."""

    def __init__(self, kind, address, patience_seconds):
        self._kind, self._address, self._patience = kind, address, patience_seconds
        self._stub = kind(grpc.insecure_channel(address, options=OPTIONS))

    def __getattr__(self, name):
        def call(request, **_):
            until = time.monotonic() + self._patience
            while True:
                try:
                    # Not for as long as the patience: a channel may miss that the server is back.
                    return getattr(self._stub, name)(request, wait_for_ready=True, timeout=120.0)
                except grpc.RpcError as error:
                    away = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                    if not away or time.monotonic() > until:
                        raise
                    time.sleep(0.5)

        return call


class _Servicer(OracleServicer):
    """Keras Tuner's servicer, which also knows when it was last asked."""

    def __init__(self, oracle):
        super().__init__(oracle)
        self.last_call = {}

    def CreateTrial(self, request, context):  # noqa: N802 - gRPC's name
        self.last_call[request.tuner_id] = time.monotonic()
        return super().CreateTrial(request, context)


def serve(oracle, patience_seconds=3600.0):
    """Be the chief until the search is over and its workers have been told.

    Args:
        oracle: `SearchOracle`.
        patience_seconds: Time without any worker after which the chief gives up.

    Returns:
        Whether the search came to its end.

    Raises:
        OSError: If the address cannot be had.
    """
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    # One thread: a trial is created and saved before the next is.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=OPTIONS)
    servicer = _Servicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"{address}: cannot be listened on; is another search running there?") from error
    server.start()
    LOG.info("chief listens on %s", address)
    started = time.monotonic()
    try:
        while True:
            time.sleep(0.5)
            now = time.monotonic()
            heard = max([started, *oracle.heard.values(), *servicer.last_call.values()])
            if servicer.stop_triggered and not oracle.ongoing_trials:
                waiting = [one for one in oracle.tuner_ids if now - servicer.last_call.get(one, started) < 30.0]
                if not waiting:
                    return True
            if now - heard > patience_seconds:
                return False
    finally:
        server.stop(grace=2.0).wait()
