"""Postfix and Exim as clients: the gateway is their smarthost, and each message of ours goes through a queue of theirs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.postfix import make_queues
from tests.clients.jobs import HOST, PATIENCE, Outcome
from tests.clients.tools import Tools
from tests.support.mail_programs import GROUP, OWNER, POSTFIX_PLACES, POSTFIX_SERVICES, make_accounts
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.clients.jobs import Job

POSTFIX = (
    POSTFIX_PLACES
    + """\
import_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH={root}/usr/lib/postfix SASL_PATH={sasl}
export_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH={root}/usr/lib/postfix
maillog_file = {folder}/maillog
myhostname = postfix.client.example
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
message_size_limit = 67108864
relayhost = [{host}]:{port}
smtp_host_lookup = native
smtp_tls_security_level = verify
smtp_tls_wrappermode = {implicit}
smtp_tls_CAfile = {authority}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{folder}/etc/passwords
smtp_sasl_security_options = noanonymous
"""
)
_MASTER = (
    POSTFIX_SERVICES
    + """\
pickup unix n - n 60 1 pickup
showq unix n - n - - showq
discard unix - - n - - discard
"""
)
_JUDGED = re.compile(r"to=<.*status=(\w+)")
EXIM = """\
exim_user = {owner}
exim_group = {group}
primary_hostname = exim.client.example
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
message_size_limit = 64M
keep_environment =
add_environment = LD_LIBRARY_PATH={libraries}
disable_ipv6 = true
deliver_drop_privilege = true
begin routers
smarthost:
  driver = manualroute
  transport = smarthost
  route_list = * {host} byname
  self = send
begin transports
smarthost:
  driver = smtp
  port = {port}
  protocol = {protocol}
  hosts_require_auth = *
  hosts_require_tls = *
  tls_verify_certificates = {authority}
  tls_verify_hosts = *
begin retry
* * F,1h,1m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{login}^{password}
"""
_MOUNTS = 'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && exec "$@"'
"""Exim has the name of its account compiled in, which only its installation would make: it exists in a mount namespace that ends with it."""


def _lines(job: Job) -> bytes:
    """The message as a local program hands it over: lines end with LF."""
    return job.letter.whole.replace(b"\r\n", b"\n")


def postfix(job: Job) -> Outcome:
    """Send by an instance of Postfix of its own; what it says is its log."""
    tools = Tools()
    log = job.folder / "maillog"
    with _postfix(job, tools) as environment:
        command = [str(tools.postfix / "usr/sbin/sendmail"), "-i", "-f", job.letter.sender, "--", *job.letter.recipients]
        subprocess.run(command, input=_lines(job), env=environment, check=True, capture_output=True, timeout=PATIENCE)
        eventually_sync(
            lambda: log.exists() and len(_JUDGED.findall(log.read_text())) >= len(job.letter.recipients), PATIENCE, "Postfix tries"
        )
    said = log.read_text()
    return Outcome({*_JUDGED.findall(said)} == {"sent"}, said)


@contextmanager
def _postfix(job: Job, tools: Tools) -> Iterator[Mapping[str, str]]:
    """Run it, as its master does when it is not told to go into the background; give the environment of its commands."""
    folder = job.folder
    (folder / "etc").mkdir()
    places = {"folder": folder, "root": tools.postfix, "sasl": tools.sasl, "owner": OWNER, "group": GROUP, "host": HOST, "port": job.port}
    places |= {"implicit": "yes" if job.implicit else "no", "authority": job.authority}
    (folder / "etc/main.cf").write_text(POSTFIX.format_map(places))
    (folder / "etc/master.cf").write_text(_MASTER)
    (folder / "etc/passwords").write_text(f"[{HOST}]:{job.port} {job.login}:{job.password}\n")
    make_queues(folder)
    library = str(tools.postfix / "usr/lib/postfix")
    environment = os.environ | {"MAIL_CONFIG": str(folder / "etc"), "LD_LIBRARY_PATH": library, "SASL_PATH": str(tools.sasl)}
    master = _started(folder, environment)
    try:
        yield environment
    finally:
        master.terminate()
        master.wait(PATIENCE)


def _started(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start it and wait until it takes mail."""
    command = [f"{environment['LD_LIBRARY_PATH']}/sbin/master", "-c", str(folder / "etc"), "-d"]
    with (folder / "output").open("wb") as output:
        master = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        eventually_sync((folder / "spool/public/pickup").exists, PATIENCE, "Postfix starts")
    except BaseException:
        master.kill()
        master.wait(PATIENCE)
        raise
    return master


def exim(job: Job) -> Outcome:
    """Send by Exim, which delivers before it returns; what it says is its log."""
    root, folder = Tools().exim, job.folder
    libraries = root / "usr/lib/x86_64-linux-gnu"
    places = {"folder": folder, "libraries": libraries, "owner": OWNER, "group": GROUP, "host": HOST, "port": job.port}
    places |= {"protocol": "smtps" if job.implicit else "smtp", "authority": job.authority, "login": job.login, "password": job.password}
    (folder / "configure").write_text(EXIM.format_map(places))
    make_accounts(folder, "Debian-exim")
    for name in ("spool", "log"):
        (folder / name).mkdir()
        shutil.chown(folder / name, OWNER, GROUP)
    program = [
        str(root / "usr/sbin/exim4"),
        "-C",
        str(folder / "configure"),
        "-odf",
        "-i",
        "-f",
        job.letter.sender,
        "--",
        *job.letter.recipients,
    ]
    environment = os.environ | {"LD_LIBRARY_PATH": str(libraries)}
    command = ["unshare", "--mount", "sh", "-c", _MOUNTS, str(folder), *program]
    done = subprocess.run(command, input=_lines(job), env=environment, capture_output=True, text=False, check=False, timeout=PATIENCE)
    log = folder / "log/mainlog"
    said = (done.stdout + done.stderr).decode() + (log.read_text() if log.exists() else "")
    return Outcome(said.count("=>") + said.count("->") >= len(job.letter.recipients) and " Completed" in said, said)
