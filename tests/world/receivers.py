"""Postfix, Exim and OpenSMTPD as the mail exchangers of a domain each: they take mail on port 25 and keep it in a Maildir."""

from __future__ import annotations

import os
import pwd
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.postfix import make_queues
from tests.support import mail_programs
from tests.support.gateway import write_pair
from tests.support.mail_programs import GROUP, OWNER, POSTFIX_PLACES, POSTFIX_SERVICES
from tests.support.waiting import eventually_sync
from tests.world.daemon import daemon
from tests.world.exchangers import PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """One mail server that takes mail for NAME.example."""

    name: str
    address: str
    folder: Path

    @property
    def host(self) -> str:
        """Its name, for which its certificate is."""
        return f"{self.name}.mx.example"

    @property
    def log(self) -> str:
        """What it wrote down."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.folder / "log").iterdir()))

    def stored(self, message_id: str) -> bytes:
        """Wait for the message with that Message-ID and return what was kept of it: its line ends, in a Maildir the system's, as they travel."""
        eventually_sync(lambda: self._with(message_id), PATIENCE, f"{message_id} in {self.folder}", pause=0.05)
        return self._with(message_id)[0]

    @property
    def kept(self) -> list[Path]:
        """The files of all messages."""
        return sorted((self.folder / "mail/new").iterdir())

    def _with(self, message_id: str) -> list[bytes]:
        kept = [path.read_bytes().replace(b"\n", b"\r\n") for path in self.kept]
        return [octets for octets in kept if f"\r\nMessage-ID: <{message_id}>\r\n".encode() in octets]


POSTFIX = (
    POSTFIX_PLACES
    + """\
import_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH={root}/usr/lib/postfix
export_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH={root}/usr/lib/postfix
maillog_file = {folder}/log/maillog
myhostname = {host}
mydestination =
mynetworks =
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/tls/tls.key, {folder}/tls/tls.crt
smtpd_tls_received_header = yes
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}
virtual_mailbox_maps = static:mail/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""
)
_MASTER = (
    POSTFIX_SERVICES
    + """\
{address}:25 inet n - n - - smtpd
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
"""
)
EXIM = """\
exim_user = {owner}
exim_group = {group}
primary_hostname = {host}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
log_selector = +pipelining +tls_cipher +received_recipients
local_interfaces = {address}
daemon_smtp_ports = 25
message_size_limit = 64M
keep_environment =
add_environment = LD_LIBRARY_PATH={libraries}
host_lookup =
rfc1413_query_timeout = 0s
disable_ipv6 = true
deliver_drop_privilege = true
accept_8bitmime = true
smtputf8_advertise_hosts = *
pipelining_connect_advertise_hosts =
tls_advertise_hosts = *
tls_certificate = {folder}/tls/tls.crt
tls_privatekey = {folder}/tls/tls.key
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin routers
keep:
  driver = accept
  domains = {domain}
  transport = keep
begin transports
keep:
  driver = appendfile
  maildir_format
  directory = {folder}/mail
  create_directory
"""
OPENSMTPD = """\
pki {host} cert "{folder}/tls/tls.crt"
pki {host} key "{folder}/tls/tls.key"
table everybody {{ "@" = "{owner}" }}
listen on {address} port 25 tls pki {host} hostname {host}
action "keep" maildir "{folder}/mail" virtual <everybody>
match from any for domain "{domain}" action "keep"
"""


def _places(receiver: Receiver, root: Path) -> dict[str, object]:
    owner = pwd.getpwnam(OWNER)
    common = {"folder": receiver.folder, "root": root, "host": receiver.host, "address": receiver.address}
    libraries = mail_programs.libraries(root)
    return common | {
        "domain": f"{receiver.name}.example",
        "libraries": libraries,
        "owner": OWNER,
        "group": GROUP,
        "uid": owner.pw_uid,
        "gid": owner.pw_gid,
    }


def _postfix(receiver: Receiver) -> AbstractContextManager[None]:
    """Start Postfix as its own master does when it is not told to go into the background."""
    root, folder = mail_programs.postfix(), receiver.folder
    places = _places(receiver, root)
    (folder / "etc").mkdir()
    (folder / "etc/main.cf").write_text(POSTFIX.format_map(places))
    (folder / "etc/master.cf").write_text(_MASTER.format_map(places))
    make_queues(folder)
    environment = {"MAIL_CONFIG": str(folder / "etc"), "LD_LIBRARY_PATH": str(root / "usr/lib/postfix")}
    command = [str(root / "usr/lib/postfix/sbin/master"), "-c", str(folder / "etc"), "-d"]
    return daemon(command, folder, (receiver.address, PORT), environment)


def _exim(receiver: Receiver) -> AbstractContextManager[None]:
    """Start Exim, for which the place of its configuration is compiled in, and its account."""
    root, folder = mail_programs.exim(), receiver.folder
    (folder / "lib/exim4").mkdir(parents=True)
    (folder / "lib/exim4/config.autogenerated").write_text(EXIM.format_map(_places(receiver, root)))
    _give(folder / "spool")
    mail_programs.make_accounts(folder, "Debian-exim")
    mounts = {folder / "passwd": "/etc/passwd", folder / "group": "/etc/group", folder / "lib": "/var/lib"}
    command = _mounted(mounts, str(root / "usr/sbin/exim4"), "-bdf", "-q1m")
    return daemon(command, folder, (receiver.address, PORT), {"LD_LIBRARY_PATH": str(mail_programs.libraries(root))})


def _opensmtpd(receiver: Receiver) -> AbstractContextManager[None]:
    """Start OpenSMTPD, which has more compiled in: accounts, its queue, an empty folder to live in, and its programs."""
    root, folder = mail_programs.opensmtpd(), receiver.folder
    (folder / "smtpd.conf").write_text(OPENSMTPD.format_map(_places(receiver, root)))
    for name in ("lib/opensmtpd/empty", "spool/smtpd", "run"):
        (folder / name).mkdir(parents=True)
    (folder / "spool/smtpd").chmod(0o711)
    for path in (folder / "tls").iterdir():
        shutil.chown(path, "root")
    mail_programs.make_accounts(folder, "opensmtpd", "opensmtpq")
    mounts = {folder / "passwd": "/etc/passwd", folder / "group": "/etc/group", folder / "lib": "/var/lib", folder / "spool": "/var/spool"}
    mounts |= {folder / "run": "/run", root / "usr/libexec": "/usr/libexec"}
    command = _mounted(mounts, str(root / "usr/sbin/smtpd"), "-d", "-f", str(folder / "smtpd.conf"))
    return daemon(command, folder, (receiver.address, PORT), {"LD_LIBRARY_PATH": str(mail_programs.libraries(root))})


_PROGRAMS: Mapping[str, Callable[[Receiver], AbstractContextManager[None]]] = {"postfix": _postfix, "exim": _exim, "opensmtpd": _opensmtpd}


@contextmanager
def receiver(name: str, address: str, folder: Path) -> Iterator[Receiver]:
    """Run *name* at *address*, with a certificate that the tests' authority signed."""
    one = Receiver(name, address, folder)
    for part in (folder, folder / "mail", folder / "mail/new", folder / "mail/cur", folder / "mail/tmp", folder / "log"):
        _give(part)
    write_pair(folder / "tls", one.host)
    for path in (folder / "tls").iterdir():
        shutil.chown(path, OWNER, GROUP)
        path.chmod(0o600)
    with _PROGRAMS[name](one):
        yield one


def _give(path: Path) -> None:
    path.mkdir()
    shutil.chown(path, OWNER, GROUP)


def _mounted(mounts: Mapping[Path, str], *command: str) -> list[str]:
    """Return *command* in a mount namespace of its own, where *mounts* lie over parts of the machine."""
    over = " && ".join(f'mount --bind "{source}" {os.path.realpath(target)}' for source, target in mounts.items())
    return ["unshare", "--mount", "sh", "-c", f'{over} && exec "$@"', "sh", *command]
