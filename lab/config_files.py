"""Writes the cluster's configuration and its test services onto the nodes of a lab."""
import secrets

from . import machine_disk, tools
from .network import NODES, ipv4, node_number
from .plan import KIND

SERVICE_ADDRESS = "192.168.1.20"
SERVICE_ADDRESS_6 = "fd00::20"
PORT = 7000  # of the small responder


def cluster_toml(lab, profile="steady", hosts=("192.168.1.1", "192.168.1.2"), cluster="", extra=""):
    lines = ["[cluster]", 'name = "lab"',
             "reference_hosts = [" + ", ".join(f'"{host}"' for host in hosts) + "]", f'profile = "{profile}"',
             'secret = "/etc/cluster.d/secret.key"', cluster, "",
             "[ssh]", 'user = "root"', f'identity = "{lab.keys}/id"', f'known_hosts = "{lab.keys}/known_hosts"', ""]
    for node in NODES:
        number = node_number(node)
        lines += [f"[node.{node}]", f'service   = {{ nic = "eth0", address = "{ipv4(10 + number)}/24" }}',
                  f'heartbeat = {{ nic = "eth1", address = "192.168.111.{number}/24" }}',
                  'redundant = { nic = "eth2" }', ""]
    return "\n".join(lines) + "\n" + extra


def responder():
    """The program, as the nodes call it."""
    return machine_disk.RESPONDER if KIND == "systemd" else tools.helper("responder")


def responder_unit(port=PORT, name="responder", command=False):
    """Where there is a systemd, a unit of it; unless it shall be a `command`."""
    if KIND == "systemd" and not command:
        return f'{{ name = "responder@{port}.service", stop_timeout = "5s" }}'
    return f'{{ name = "{name}", run = "{responder()} {port}", stop_timeout = "5s" }}'


def service_toml(units=None, addresses=(SERVICE_ADDRESS + "/24", SERVICE_ADDRESS_6 + "/64"), prefer="serv1",
                 mac="virtual", hot=False, checks=(), mirrors="", extra=""):
    lines = []
    if prefer:
        lines.append(f'prefer    = "{prefer}"')
    lines.append("addresses = [" + ", ".join(f'"{address}"' for address in addresses) + "]")
    lines.append(f'mac       = "{mac}"')
    lines.append("units     = [" + ", ".join(units if units is not None else [responder_unit()]) + "]")
    if checks:
        lines.append("checks    = [" + ", ".join(checks) + "]")
    if hot:
        lines.append("hot       = true")
    return "\n".join(lines + [extra, mirrors]) + "\n"


def mirror_toml(paths, every="1h", name="files", extra=""):
    listed = ", ".join(f'"{path}"' for path in paths)
    return f'[[mirror]]\nname  = "{name}"\npaths = [{listed}]\nmode  = "interval"\nvia   = "rsync"\n' \
           f'every = "{every}"\n{extra}\n'


NGINX = """worker_processes 1;
daemon off;
pid /run/nginx/nginx.pid;
error_log stderr;
events { worker_connections 256; }
http {
  access_log off;
  default_type text/plain;
  client_body_temp_path /run/nginx/body; proxy_temp_path /run/nginx/proxy;
  fastcgi_temp_path /run/nginx/fastcgi; uwsgi_temp_path /run/nginx/uwsgi; scgi_temp_path /run/nginx/scgi;
  server { listen 80; listen [::]:80; root /srv/web; autoindex on; add_header X-Node $hostname; }
}
"""


NGINX_SERVICE = '"nginx.service"'  # on machines with their own systemd


def nginx_unit():
    return '{ name = "nginx", run = "/usr/sbin/nginx -c /etc/cluster-nginx.conf", stop_timeout = "10s" }'


class Setup:
    """A configuration as it is put on both nodes: cluster.toml, services/*.toml and the secret."""

    def __init__(self, lab, services, **cluster):
        self.lab = lab
        self.services = dict(services)
        self.cluster = cluster
        self.secret = secrets.token_hex(32)

    def files(self):
        files = {"/etc/cluster.d/cluster.toml": cluster_toml(self.lab, **self.cluster)}
        for name, text in self.services.items():
            files[f"/etc/cluster.d/services/{name}.toml"] = text
        return files

    def install(self, nodes=None):
        for node in nodes or self.lab.nodes:
            node.sh("rm -rf /etc/cluster.d/services; mkdir -p /etc/cluster.d/services /srv/web")
            for path, text in self.files().items():
                node.write(path, text)
            node.write("/etc/cluster.d/secret.key", self.secret + "\n", mode=0o600)
            node.write("/etc/cluster-nginx.conf", NGINX)
