"""OpenStack Swift on one machine: python openstack_swift.py FOLDER KEY FILE...

Account, container, object and proxy server run in this process on loopback, objects in memory. The files become
objects of one container; once they are there, the container's address is printed. KEY signs temporary URLs.
"""
import os
import sys

from swift.common.utils import eventlet_monkey_patch, set_swift_dir

eventlet_monkey_patch()

import eventlet
import eventlet.wsgi
import urllib.request
from array import array
from swift.common.ring import RingData
from swift.common.storage_policy import reload_storage_policies
from swift.common.wsgi import loadapp

SERVERS = {
    "account": "egg:swift#account",
    "container": "egg:swift#container",
    "object": "egg:swift#mem_object",
}


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def request(method, url, headers, body=None):
    asked = urllib.request.Request(url, data=body, headers=headers, method=method)
    urllib.request.urlopen(asked).close()


def main(folder, key, files):
    os.makedirs(f"{folder}/devices/one")
    write(f"{folder}/swift.conf", "[swift-hash]\nswift_hash_path_suffix = test\n")
    set_swift_dir(folder)
    reload_storage_policies()
    sockets = {}
    for name, app in SERVERS.items():
        sockets[name] = eventlet.listen(("127.0.0.1", 0))
        device = {
            "id": 0, "region": 1, "zone": 1, "weight": 1, "device": "one",
            "ip": "127.0.0.1", "port": sockets[name].getsockname()[1],
        }
        RingData([array("H", [0, 0])], [device], 31).save(f"{folder}/{name}.ring.gz")
        write(
            f"{folder}/{name}.conf",
            f"[DEFAULT]\nswift_dir = {folder}\ndevices = {folder}/devices\nmount_check = false\n"
            f"[pipeline:main]\npipeline = {name}-server\n[app:{name}-server]\nuse = {app}\n",
        )
    sockets["proxy"] = eventlet.listen(("127.0.0.1", 0))
    write(
        f"{folder}/proxy.conf",
        f"[DEFAULT]\nswift_dir = {folder}\n"
        # Without a middleware for accounts everybody may do everything; what is signed is checked.
        "[pipeline:main]\npipeline = catch_errors tempurl proxy-server\n"
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
        "[filter:catch_errors]\nuse = egg:swift#catch_errors\n"
        "[filter:tempurl]\nuse = egg:swift#tempurl\n",
    )
    for name, socket in sockets.items():
        app = loadapp(f"{folder}/{name}.conf")
        eventlet.spawn(eventlet.wsgi.server, socket, app, log_output=False)
    account = f"http://127.0.0.1:{sockets['proxy'].getsockname()[1]}/v1/AUTH_test"
    request("POST", account, {"X-Account-Meta-Temp-URL-Key": key})
    request("PUT", f"{account}/documents", {})
    for path in files:
        with open(path, "rb") as file:
            request("PUT", f"{account}/documents/{os.path.basename(path)}", {}, file.read())
    print(f"{account}/documents", flush=True)
    eventlet.sleep(3600)


main(sys.argv[1], sys.argv[2], sys.argv[3:])
