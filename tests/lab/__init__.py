"""
A real Kubernetes for the cluster tests, the demo and the benchmark, on a bare Debian machine.

`python3 -m tests.lab up` needs root, Python 3.11, Go and Debian's packages; no registry, no Docker, no virtual environment: this
package is standard library only. Tests, demo and benchmark ask `tests.lab.provider.connect()` for the cluster that runs.

From the command down to the words everything is written in; a module knows only those below it:

    __main__, commands        up, down, status, images, recycle, kubeconfig, path
    boot                      from nothing to "up"
    provider                  which cluster: named by the developer, kind, or the lab
    teardown                  to nothing again, whatever a crash left
    builders                  project images by buildah or Docker     | health         what runs
    project_images            what they are made of                   | volumes        disks with a size of their own
    base_images               what they and the cluster start from    | kind           the stand-in where Docker works
    control_plane             etcd, API server, controllers           | node           containerd, kubelet, kube-proxy
    network, pki, packages, binaries, image_store, buildah, kubeconfig, kubectl
    daemons, resolver, files
    waiting, progress, shell, layout

Tests that break the lab on purpose use `daemons.stop(run, name)` and `daemons.restart(run, name)` with the names `status` prints.
"""
