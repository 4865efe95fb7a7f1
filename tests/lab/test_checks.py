"""Checks that ask servers: nginx with TLS by HTTP, and what follows from a bad answer."""
from lab import config_files

SITE = """worker_processes 1;
daemon off;
pid /run/nginx/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path /run/nginx/body; proxy_temp_path /run/nginx/proxy;
  fastcgi_temp_path /run/nginx/fastcgi; uwsgi_temp_path /run/nginx/uwsgi; scgi_temp_path /run/nginx/scgi;
  server {
    listen 443 ssl; ssl_certificate /etc/site.crt; ssl_certificate_key /etc/site.key; server_name www.example.org;
    location /health { default_type text/plain; root /run/site; }
  }
}
"""


def with_site(make_cluster, *checks, **options):
    cluster = make_cluster(start=False, units=[config_files.nginx_unit(), config_files.responder_unit()], checks=checks,
                           service_extra='restarts = { max = 0, within = "10min" }', **options)
    for node in cluster.lab.nodes:
        node.write("/etc/cluster-nginx.conf", SITE)
        node.sh("mkdir -p /run/site && echo 'all is well' >/run/site/health && "
                "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=www.example.org "
                "-addext subjectAltName=DNS:www.example.org -keyout /etc/site.key -out /etc/site.crt 2>/dev/null")
    return cluster


def checks_are_good(cluster, node):
    service = cluster.service(node)
    return service and all(check["good"] if isinstance(check, dict) else check for check in service["checks"])


def test_a_bad_answer_by_https_moves_the_service(make_cluster):
    cluster = with_site(make_cluster, '{ http = "https://www.example.org/health", body = "is well", verify = false, '
                        'every = "300ms", grace = "0s", failures = 2, timeout = "20s" }',
                        '{ process = "/run/nginx/nginx.pid", every = "300ms", grace = "5s" }')
    cluster.start()
    epoch = cluster.epoch("serv1")
    cluster.stays(2, lambda: cluster.role("serv1") == "active", "good answers move nothing")
    cluster.nothing_moved("serv1", epoch)
    cluster.serv1.sh("echo 'all is ill' >/run/site/health")
    cluster.await_active("serv2")
    event = cluster.await_event("serv1", "service-failed")
    assert 'does not contain "is well"' in event["text"], event["text"]
    cluster.observer.never_dual("serv1", "serv2")


def test_a_certificate_that_is_not_valid_is_a_bad_answer(make_cluster):
    cluster = with_site(make_cluster, '{ http = "https://www.example.org/health", every = "300ms", grace = "0s", failures = 2, '
                        'timeout = "20s" }')
    for node in cluster.lab.nodes:
        node.start_clusterd()
    event = cluster.await_event("serv1", "service-failed")
    assert "certificate" in event["text"] and "verify = false" in event["text"], event["text"]
