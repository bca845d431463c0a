"""Studies that any number of processes work on: storage, workers, what is left of the trials and of the budget."""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.trial import TrialState

from tagal_dspy.errors import SettingsError
from tagal_dspy.study.objective import UPWARDS, Objective
from tagal_dspy.study.sampling import SurrogateSampler

HEARTBEAT = 60
"""Seconds between signs of life of a trial; after two without one it is taken for dead and run again."""

PRUNED_BELOW = 0.02
JOURNALS = (".log", ".journal")
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
ALIVE = (*DONE, TrialState.RUNNING, TrialState.WAITING)
POLL_SECONDS = 1.0


class _Pulse(BaseHeartbeat):
    """Signs of life for the storages that Optuna gives none: kept as an attribute of the trial."""

    heartbeat_interval = HEARTBEAT

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that a trial is alive; one that was taken for dead is told when it ends."""
        try:
            self.set_trial_system_attr(trial_id, "heartbeat", time.time())  # type: ignore[attr-defined]
        except UpdateFinishedTrialError:
            return

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))  # type: ignore[attr-defined]
        return [trial._trial_id for trial in running if time.time() - _last_sign(trial) > 2 * self.heartbeat_interval]

    def get_heartbeat_interval(self) -> int:
        """Seconds."""
        return self.heartbeat_interval

    def get_heartbeat_stale_trial_callback(self) -> Callable[[Any, Any], None]:
        """What is done about a dead trial."""
        return _run_again


class _Journal(_Pulse, JournalStorage):  # type: ignore[misc]
    """One file for several processes of a machine."""


class _Rdb(RDBStorage):  # type: ignore[misc]
    """A database; trials that died before their first sign of life are dead too."""

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        from optuna.storages._rdb.models import TrialModel
        from sqlalchemy import select

        latest = datetime.now() - timedelta(seconds=2 * self.heartbeat_interval)
        with self.scoped_session() as session:
            running = session.scalars(select(TrialModel).filter_by(study_id=study_id, state=TrialState.RUNNING))
            silent = [each.trial_id for each in running if not each.heartbeats and each.datetime_start < latest]
        return [*super()._get_stale_trial_ids(study_id), *silent]


def _last_sign(trial: Any) -> float:
    started = trial.datetime_start.timestamp() if trial.datetime_start else time.time()
    return max(started, float(trial.system_attrs.get("heartbeat", 0.0)))


def _run_again(study: Any, trial: Any) -> None:
    """Queue a trial that died, with its parameters and the replicates that it has. What was set aside for it may have
    been spent."""
    if "ticket" not in trial.user_attrs:
        return
    lost = trial.user_attrs.get("set aside") or {}
    attributes = {**trial.user_attrs, "cut short": [*trial.user_attrs.get("cut short", ()), *([lost] if lost else ())]}
    trial.user_attrs = attributes
    trial.system_attrs = {
        name: value for name, value in trial.system_attrs.items() if not name.startswith(("constraints", "heartbeat"))
    }
    with experimental():
        RetryHeartbeatStaleTrialCallback()(study, trial)


@contextmanager
def experimental() -> Iterator[None]:
    """Use what Optuna calls experimental without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def open_storage(where: str, heartbeat: int = HEARTBEAT) -> BaseStorage:
    """The storage of studies.

    Args:
        where: a SQLite file (one process writes at a time), a file that ends in `.log` or `.journal` (several processes
            of one machine), the URL of a database such as `postgresql://user@host/name`, or `grpc://host:port` of an
            Optuna gRPC proxy (many machines).
        heartbeat: seconds between signs of life of a trial.

    Raises:
        SettingsError: it cannot be reached, or a package for it is missing.
    """
    shown = without_secrets(where)
    try:
        with experimental():
            if where.startswith("grpc://"):
                return _proxy(where, heartbeat)
            if where.endswith(JOURNALS) and "://" not in where:
                from optuna.storages.journal import JournalFileBackend

                journal = _Journal(JournalFileBackend(where))
                journal.heartbeat_interval = heartbeat
                return journal
            url = where if "://" in where else f"sqlite:///{where}"
            # The driver is named because SQLAlchemy's versions differ in the default.
            url = url.replace("postgresql://", "postgresql+psycopg://", 1)
            options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
            return _Rdb(url, options, heartbeat_interval=heartbeat, heartbeat_stale_trial_callback=_run_again)
    except ImportError as error:
        raise SettingsError(
            f"the storage {shown} needs a package: {error}; install tagal-dspy[postgres] or [grpc]"
        ) from error
    except SettingsError:
        raise
    except Exception as error:  # of whichever driver
        reason = str(getattr(error, "orig", None) or error).splitlines()[0].replace(where, shown)
        for secret in secrets_of(where):
            reason = reason.replace(secret, "***")
        raise SettingsError(f"the storage {shown} cannot be reached: {reason}") from error


def _proxy(where: str, heartbeat: int) -> BaseStorage:
    from optuna.storages import GrpcStorageProxy

    class Proxy(_Pulse, GrpcStorageProxy):  # type: ignore[misc]
        """A storage that another process serves."""

    host, _, port = where.removeprefix("grpc://").partition(":")
    if not port.isdigit():
        raise SettingsError(f"the storage {without_secrets(where)} names no port; write grpc://host:port")
    proxy = Proxy(host=host, port=int(port))
    proxy.heartbeat_interval = heartbeat
    proxy.wait_server_ready(timeout=10)
    return proxy


def without_secrets(where: str) -> str:
    """The address of a storage without user, password and options; the path of a file as it is.

    >>> without_secrets("postgresql://me:p@ss@host/name?user=me&password=p@ss")
    'postgresql://host/name'
    """
    scheme, mark, rest = where.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}" if mark else where


def secrets_of(where: str) -> list[str]:
    """The passwords in the address of a storage, as they stand there, decoded, and cut at an `@`; the longest first."""
    _, mark, rest = where.partition("://")
    if not mark:
        return []
    place, _, options = rest.partition("?")
    found = [place.rpartition("@")[0].partition(":")[2]]
    found += [option.partition("=")[2] for option in options.split("&")]
    found += [part for each in found for part in each.split("@")]
    return sorted({text for each in found for text in (each, unquote(each)) if text}, key=len, reverse=True)


def run_study(
    name: str,
    objective: Objective,
    storage: BaseStorage | str,
    n_trials: int,
    *,
    seed: int = 0,
    notes: Mapping[str, Any] | None = None,
    on_trial: Callable[[Any, Any], None] | None = None,
) -> Any:
    """Begin a study, or go on with it, and work on it until `n_trials` are finished; other workers may help.

    Args:
        name: of the study.
        objective: what is optimised; a study that was begun with another one is refused.
        storage: where it is recorded; see `open_storage`.
        n_trials: finished trials to reach, those of earlier calls included. The first tries the paper's default.
        seed: of the sampler.
        notes: kept in the study, for those who read it.
        on_trial: called with the study and each trial that this process finished.

    Returns:
        The `optuna.Study`. When other workers are still busy it waits for them.

    Raises:
        SettingsError: the storage cannot be reached, or the study exists and is of something else.
        BudgetError: the budget of the study is used up; what is finished is recorded.
    """
    study = begin_study(name, objective, storage, n_trials, seed=seed, notes=notes)
    work(study, objective, on_trial)
    return study


def begin_study(
    name: str,
    objective: Objective,
    storage: BaseStorage | str,
    n_trials: int,
    *,
    seed: int = 0,
    notes: Mapping[str, Any] | None = None,
) -> Any:
    """Make a study, or find it, and queue the trials that are missing; see `run_study`."""
    storage = open_storage(storage) if isinstance(storage, str) else storage
    directions = ["maximize" if UPWARDS[goal] else "minimize" for goal in objective.goals]
    try:
        study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        with experimental():
            study.set_metric_names(list(objective.goals))
        study.set_user_attr("fingerprint", objective.fingerprint)
        study.set_user_attr("seed", seed)
        for key, value in (notes or {}).items():
            study.set_user_attr(key, value)
    except DuplicatedStudyError:
        pass
    study = find_study(name, objective, storage, seed)
    _queue(study, objective, n_trials)
    return study


def find_study(name: str, objective: Objective, storage: BaseStorage | str, seed: int | None = None) -> Any:
    """A study that exists, ready to be worked on; raises `SettingsError` where it is of something else."""
    study = load_study(name, storage)
    before, now = study.user_attrs.get("fingerprint"), json.loads(json.dumps(objective.fingerprint))
    if before != now:
        named = {} if before is None else before
        names = [each for each in {**named, **now} if named.get(each) != now.get(each)]
        differs = "; ".join(f"{each} was {_short(named.get(each))}, now {_short(now.get(each))}" for each in names)
        raise SettingsError(f"the study {name!r} is of something else: {differs}; use another name")
    if len(objective.goals) > 1:
        with experimental():
            study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
        return study
    study.sampler = SurrogateSampler(objective.space, study.user_attrs["seed"])
    with experimental():
        study.pruner = optuna.pruners.WilcoxonPruner(p_threshold=PRUNED_BELOW)
    return study


def load_study(name: str, storage: BaseStorage | str) -> Any:
    """A study that exists, to read; raises `SettingsError` where there is none of that name."""
    storage = open_storage(storage) if isinstance(storage, str) else storage
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = ", ".join(repr(each) for each in optuna.get_all_study_names(storage)) or "none"
        raise SettingsError(f"this storage does not hold study {name!r}; it holds {known}") from None


def work(study: Any, objective: Objective, on_trial: Callable[[Any, Any], None] | None = None) -> int:
    """Run queued trials until every one is finished, by whomever; returns how many were finished here.

    Raises:
        BudgetError: the budget is used up.
    """
    callbacks = [] if on_trial is None else [on_trial]
    n_mine = 0
    while True:
        with experimental():
            optuna.storages.fail_stale_trials(study)
        states = Counter(trial.state for trial in _tickets(study))
        if states[TrialState.WAITING]:
            n_mine += _run_one(study, objective, callbacks)
        elif states[TrialState.RUNNING]:
            time.sleep(POLL_SECONDS)
        else:
            return n_mine


class _TakenError(Exception):
    """There is nothing to do in a trial: another worker was faster."""


def _run_one(study: Any, objective: Objective, callbacks: list[Any]) -> bool:
    """Run the next trial of the queue; false where another worker was faster, or took it over."""
    ran = False

    def run(trial: Any) -> Any:
        nonlocal ran
        if _is_taken(study, trial):
            raise _TakenError
        ran = True
        return objective(trial)

    try:
        study.optimize(run, n_trials=1, catch=(_TakenError,), callbacks=callbacks)
    except (ValueError, AssertionError, UpdateFinishedTrialError) as error:
        if not _is_of_finished(error) and not _is_of_finished(error.__context__):
            raise
        return False  # it was taken for dead, and another worker has it
    return ran


def _is_of_finished(error: BaseException | None) -> bool:
    """Whether Optuna refuses a result because the trial has ended; it may assert that this cannot be."""
    return isinstance(error, UpdateFinishedTrialError) or "Cannot tell" in str(error)


def _is_taken(study: Any, trial: Any) -> bool:
    ticket = trial.user_attrs.get("ticket")
    if ticket is None:
        return True
    others = study.get_trials(deepcopy=False, states=(*DONE, TrialState.RUNNING))
    return any(each.user_attrs.get("ticket") == ticket and each.number < trial.number for each in others)


def _tickets(study: Any) -> list[Any]:
    """The trials that count: of each ticket the one that lives."""
    return [trial for trial in study.get_trials(deepcopy=False, states=ALIVE) if "ticket" in trial.user_attrs]


def finished(study: Any) -> list[Any]:
    """The finished trials of a study, in the order of their tickets."""
    return sorted((each for each in _tickets(study) if each.state in DONE), key=lambda each: each.user_attrs["ticket"])


def _queue(study: Any, objective: Objective, n_trials: int) -> None:
    """Queue every ticket that nobody holds; one whose trial failed goes on where that ended."""
    held = {trial.user_attrs["ticket"] for trial in _tickets(study)}
    failed = {trial.user_attrs.get("ticket"): trial for trial in study.get_trials(states=(TrialState.FAIL,))}
    for ticket in range(n_trials):
        if ticket in held:
            continue
        before = failed.get(ticket)
        params = before.params if before else {} if ticket else objective.space.nearest_to_paper()
        study.enqueue_trial(params, {**(before.user_attrs if before else {}), "ticket": ticket})


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
