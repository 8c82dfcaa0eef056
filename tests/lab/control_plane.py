"""
The control plane: etcd, API server, controller manager, scheduler; all on the first node.

etcd does not wait for the disk: a lab that loses power is booted anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.daemons import Daemon, flags
from tests.lab.kubeconfig import write_kubeconfig
from tests.lab.layout import FIRST, POD_RANGE, SERVICE_RANGE, Layout

if TYPE_CHECKING:
    from pathlib import Path

_ETCD = "http://127.0.0.1:2379"


def etcd(layout: Layout) -> Daemon:
    """Describe the store."""
    return _daemon(
        layout,
        "etcd",
        flags(
            data_dir=layout.run / "etcd",
            listen_client_urls=_ETCD,
            advertise_client_urls=_ETCD,
            listen_peer_urls="http://127.0.0.1:2380",
            unsafe_no_fsync=True,
            log_level="warn",
        ),
    )


def api_server(layout: Layout) -> Daemon:
    """Describe the API server."""
    serving = flags(
        etcd_servers=_ETCD,
        advertise_address=FIRST.address,
        bind_address="0.0.0.0",
        secure_port=6443,
        service_cluster_ip_range=SERVICE_RANGE,
        authorization_mode="Node,RBAC",
        enable_admission_plugins="NodeRestriction",
        allow_privileged=True,
        kubelet_preferred_address_types="InternalIP",
    )
    return _daemon(layout, "kube-apiserver", (*serving, *_api_identity(layout.pki), *_aggregation(layout.pki)))


def controller_manager(layout: Layout) -> Daemon:
    """Describe the controllers."""
    more = flags(
        service_account_private_key_file=layout.pki / "sa.key",
        root_ca_file=layout.pki / "ca.crt",
        use_service_account_credentials=True,
        cluster_cidr=POD_RANGE,
        # A lost node is known in 20 seconds instead of 50, for which tests wait; that is four renewals of its lease (`node`).
        node_monitor_grace_period="20s",
    )
    return _daemon(layout, "kube-controller-manager", (*_credentials(layout, "controller-manager"), *more))


def scheduler(layout: Layout) -> Daemon:
    """Describe the scheduler."""
    return _daemon(layout, "kube-scheduler", _credentials(layout, "scheduler"))


def _daemon(layout: Layout, name: str, arguments: tuple[str, ...]) -> Daemon:
    return Daemon(name, FIRST.namespace, (str(layout.tool(name)), *arguments))


def _api_identity(pki: Path) -> tuple[str, ...]:
    return flags(
        client_ca_file=pki / "ca.crt",
        tls_cert_file=pki / "apiserver.crt",
        tls_private_key_file=pki / "apiserver.key",
        service_account_key_file=pki / "sa.pub",
        service_account_signing_key_file=pki / "sa.key",
        service_account_issuer="https://kubernetes.default.svc.cluster.local",
        kubelet_client_certificate=pki / "apiserver-kubelet.crt",
        kubelet_client_key=pki / "apiserver-kubelet.key",
    )


def _aggregation(pki: Path) -> tuple[str, ...]:
    """Let aggregated APIs (metrics-server) trust the API server; without it the controllers log errors, too."""
    return flags(
        requestheader_client_ca_file=pki / "front-proxy-ca.crt",
        requestheader_allowed_names="front-proxy-client",
        requestheader_extra_headers_prefix="X-Remote-Extra-",
        requestheader_group_headers="X-Remote-Group",
        requestheader_username_headers="X-Remote-User",
        proxy_client_cert_file=pki / "front-proxy-client.crt",
        proxy_client_key_file=pki / "front-proxy-client.key",
    )


def _credentials(layout: Layout, user: str) -> tuple[str, ...]:
    kubeconfig = write_kubeconfig(layout, user)
    return flags(
        kubeconfig=kubeconfig,
        authentication_kubeconfig=kubeconfig,
        authorization_kubeconfig=kubeconfig,
        leader_elect=False,
    )
