#!/usr/bin/python3
"""Data centre A of the two-data-centre example: a speaker as RYU's rest_vtep is.

The BGP speaker is os-ken's, which is RYU's under its new name; what it advertises
and the REST paths below /vtep are those of rest_vtep. A route that is received is
taken with rest_vtep's assumptions and no others: it is made into the OpenFlow
messages that rest_vtep sends of it, by the same encoder, in the BGP thread, and
nothing catches what goes wrong there. So a route that ends rest_vtep ends this.

What the messages tell an Open vSwitch is told to the kernel: a network is a bridge
and a VXLAN device, a client an FDB entry of the bridge, a flow for a MAC one of the
VXLAN device, a flow that answers ARP a neighbour of it. As there, nothing is flooded
to other VTEPs: a host is reached if a route has its MAC and its IPv4 address.

Usage: two_dc.py ADDRESS:PORT, where the REST API is to listen. It needs root.
"""

import json
import subprocess
import sys
from http import HTTPStatus

from os_ken.lib import hub
from os_ken.lib.packet.bgp import EvpnNLRI, _RouteDistinguisher
from os_ken.ofproto import ofproto_v1_3, ofproto_v1_3_parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc
from os_ken.services.protocols.bgp.bgpspeaker import (
    BGPSpeaker, EVPN_MAC_IP_ADV_ROUTE, EVPN_MULTICAST_ETAG_ROUTE, RF_L2_EVPN)
from os_ken.services.protocols.bgp.info_base.evpn import EvpnPath

ARP = 0x0806


class Refused(Exception):
    """An HTTP status and why."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def run(*args):
    """Runs ip or bridge; the error is what it says."""
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        raise Refused(500, "%s: %s" % (" ".join(args), done.stderr.strip()))


def try_run(*args):
    """Does what run does, and prints the error."""
    try:
        run(*args)
    except Refused as e:
        print(e, flush=True)


class Flows:
    """The OpenFlow messages that rest_vtep sends when routes come and go."""

    def __init__(self):
        self.switch = ProtocolDesc(ofproto_v1_3.OFP_VERSION)

    def _send(self, command, **match):
        """Encodes a flow of the egress table, as sending it does."""
        ofp, of = ofproto_v1_3_parser, ofproto_v1_3
        message = ofp.OFPFlowMod(
            self.switch, table_id=1, command=command, match=ofp.OFPMatch(**match), instructions=[],
            out_port=of.OFPP_ANY, out_group=of.OFPG_ANY)
        message.set_xid(1)
        message.serialize()

    def switching(self, command, vni, mac):
        self._send(command, metadata=(vni, ofproto_v1_3_parser.UINT64_MAX), eth_dst=mac)

    def arp_reply(self, command, vni, ip, mac=None):
        if command == ofproto_v1_3.OFPFC_ADD:
            # Its actions write the answer into the frame.
            ofproto_v1_3_parser.OFPActionSetField(eth_src=mac)
            ofproto_v1_3_parser.OFPActionSetField(arp_sha=mac)
            ofproto_v1_3_parser.OFPActionSetField(arp_spa=ip)
        self._send(
            command, metadata=(vni, ofproto_v1_3_parser.UINT64_MAX), eth_type=ARP, arp_op=1, arp_tpa=ip)


class Network:
    """A VNI: its kernel devices, its clients here and elsewhere."""

    def __init__(self, vni, route_dist, local):
        self.vni, self.route_dist = vni, route_dist
        self.bridge, self.vxlan = "br%d" % vni, "vx%d" % vni
        self.clients = {}  # by MAC
        for dev in (self.vxlan, self.bridge):  # of a speaker that was killed
            subprocess.run(("ip", "link", "del", dev), capture_output=True)
        run("ip", "link", "add", self.bridge, "type", "bridge")
        # proxy: ARP is answered from the device's neighbours.
        run("ip", "link", "add", self.vxlan, "type", "vxlan", "id", str(vni), "local", local,
            "dstport", "4789", "nolearning", "proxy")
        run("ip", "link", "set", self.vxlan, "master", self.bridge)
        run("bridge", "link", "set", "dev", self.vxlan, "learning", "off")
        for dev in (self.vxlan, self.bridge):
            run("ip", "link", "set", dev, "up")

    def remove(self):
        run("ip", "link", "del", self.vxlan)
        run("ip", "link", "del", self.bridge)

    def add_local(self, port, mac, ip, next_hop):
        run("ip", "link", "set", port, "master", self.bridge, "up")
        run("bridge", "fdb", "replace", mac, "dev", port, "master", "static")
        self.clients[mac] = {"port": port, "mac": mac, "ip": ip, "next_hop": next_hop}

    def del_local(self, mac):
        run("bridge", "fdb", "del", mac, "dev", self.clients.pop(mac)["port"], "master")

    # What the kernel refuses of these is no fault of the route: a flow is taken for a
    # network that is going too, and deleting one that is not there is no error.

    def add_remote(self, mac, ip, vtep):
        try_run("bridge", "fdb", "replace", mac, "dev", self.vxlan, "dst", vtep, "self", "static")
        try_run("bridge", "fdb", "replace", mac, "dev", self.vxlan, "master", "static")
        try_run("ip", "neigh", "replace", ip, "lladdr", mac, "dev", self.vxlan, "nud", "permanent")

    def del_remote(self, mac, ip):
        try_run("bridge", "fdb", "del", mac, "dev", self.vxlan, "self")
        try_run("bridge", "fdb", "del", mac, "dev", self.vxlan, "master")
        try_run("ip", "neigh", "del", ip, "dev", self.vxlan)

    def tunnel_closed(self, vtep):
        for mac, client in self.clients.items():
            if client["next_hop"] == vtep:
                try_run("bridge", "fdb", "del", mac, "dev", self.vxlan, "self")

    def body(self):
        return {"EvpnNetwork": {
            "clients": {mac: {"EvpnClient": c} for mac, c in self.clients.items()},
            "ethernet_tag_id": 0, "route_dist": self.route_dist, "vni": self.vni}}


class Vtep:
    """What rest_vtep keeps: a speaker, its neighbours, its networks."""

    def __init__(self):
        self.speaker = None
        self.as_number = self.router_id = None
        self.neighbors = {}  # by address
        self.networks = {}  # by VNI
        self.ports = set()  # of tunnels: VTEP and VNI
        self.flows = Flows()

    # What the BGP speaker says, in its thread.

    def best_path_changed(self, ev):
        if not isinstance(ev.path, EvpnPath) or ev.nexthop == self.router_id:
            return
        if ev.path.nlri.type == EvpnNLRI.MAC_IP_ADVERTISEMENT:
            (self.mac_ip_withdrawn if ev.is_withdraw else self.mac_ip_advertised)(ev)
        elif ev.path.nlri.type == EvpnNLRI.INCLUSIVE_MULTICAST_ETHERNET_TAG:
            self.multicast_changed(ev)

    def mac_ip_advertised(self, ev):
        nlri = ev.path.nlri
        network = self.networks.get(nlri.vni)
        if network is None:
            return
        self.ports.add((ev.nexthop, nlri.vni))
        self.flows.switching(ofproto_v1_3.OFPFC_ADD, network.vni, nlri.mac_addr)
        self.flows.arp_reply(ofproto_v1_3.OFPFC_ADD, network.vni, nlri.ip_addr, nlri.mac_addr)
        network.clients[nlri.mac_addr] = {
            "port": network.vxlan, "mac": nlri.mac_addr, "ip": nlri.ip_addr, "next_hop": ev.nexthop}
        network.add_remote(nlri.mac_addr, nlri.ip_addr, ev.nexthop)

    def mac_ip_withdrawn(self, ev):
        nlri = ev.path.nlri
        network = self.networks.get(nlri.vni)
        if network is None or nlri.mac_addr not in network.clients:
            return
        self.flows.switching(ofproto_v1_3.OFPFC_DELETE, network.vni, nlri.mac_addr)
        self.flows.arp_reply(ofproto_v1_3.OFPFC_DELETE, network.vni, nlri.ip_addr)
        del network.clients[nlri.mac_addr]
        network.del_remote(nlri.mac_addr, nlri.ip_addr)

    def multicast_changed(self, ev):
        vni = _RouteDistinguisher.from_str(ev.path.nlri.route_dist).assigned
        if vni not in self.networks:
            return
        print("type 3 of VNI %d has tag %d" % (vni, ev.path.nlri.ethernet_tag_id), flush=True)
        # It opens the tunnel's port, and closes it at any withdrawal; frames of it are taken
        # while it is open, which the kernel does anyway. Flows lead to a port by its number:
        # those to one that is closed lead nowhere, until their routes come again.
        tunnel = (ev.nexthop, vni)
        if not ev.is_withdraw:
            self.ports.add(tunnel)
        elif tunnel in self.ports:
            self.ports.discard(tunnel)
            self.networks[vni].tunnel_closed(ev.nexthop)

    def peer_changed(self, state):
        def handler(remote_ip, _remote_as):
            if remote_ip in self.neighbors:
                self.neighbors[remote_ip]["state"] = state
        return handler

    # What the REST API asks for.

    def need_speaker(self):
        if self.speaker is None:
            raise Refused(404, "BGPSpeaker could not be found")

    def network(self, vni):
        self.need_speaker()
        if vni not in self.networks:
            raise Refused(404, "No such VNI: %s" % vni)
        return self.networks[vni]

    def speaker_body(self):
        return {self.router_id: {"EvpnSpeaker": {
            "as_number": self.as_number, "router_id": self.router_id,
            "neighbors": self.get_neighbors()}}}

    def add_speaker(self, as_number, router_id, dpid=None):
        del dpid  # there is no OpenFlow here
        if self.speaker is not None:
            raise Refused(409, "there is a speaker")
        self.as_number, self.router_id = int(as_number), router_id
        self.speaker = BGPSpeaker(
            as_number=self.as_number, router_id=router_id,
            best_path_change_handler=self.best_path_changed,
            peer_down_handler=self.peer_changed("down"), peer_up_handler=self.peer_changed("up"))
        return self.speaker_body()

    def get_speaker(self):
        self.need_speaker()
        return self.speaker_body()

    def del_speaker(self):
        self.need_speaker()
        for vni in list(self.networks):
            self.del_network(vni)
        for address in list(self.neighbors):
            self.del_neighbor(address)
        body = self.speaker_body()
        self.speaker.shutdown()
        self.speaker = None
        return body

    def add_neighbor(self, address, remote_as):
        self.need_speaker()
        if address in self.neighbors:
            raise Refused(409, "there is neighbor %s" % address)
        self.neighbors[address] = {"address": address, "remote_as": int(remote_as), "state": "down"}
        self.speaker.neighbor_add(address=address, remote_as=int(remote_as), enable_evpn=True)
        return self.get_neighbors(address)

    def get_neighbors(self, address=None):
        self.need_speaker()
        if address is not None and address not in self.neighbors:
            raise Refused(404, "No such neighbor: %s" % address)
        return {a: {"EvpnNeighbor": n} for a, n in self.neighbors.items() if address in (None, a)}

    def del_neighbor(self, address):
        body = self.get_neighbors(address)
        self.speaker.neighbor_del(address=address)
        del self.neighbors[address]
        return body

    def add_network(self, vni, logical_switch=None):
        del logical_switch  # of evpn-for-ovn
        self.need_speaker()
        vni = int(vni)
        if vni in self.networks:
            raise Refused(409, "there is network %d" % vni)
        rd = "%d:%d" % (self.as_number, vni)
        self.networks[vni] = Network(vni, rd, self.router_id)
        self.speaker.vrf_add(route_dist=rd, import_rts=[rd], export_rts=[rd], route_family=RF_L2_EVPN)
        self.speaker.evpn_prefix_add(
            route_type=EVPN_MULTICAST_ETAG_ROUTE, route_dist=rd, ethernet_tag_id=vni,
            ip_addr=self.router_id, next_hop=self.router_id)
        return {vni: self.networks[vni].body()}

    def get_networks(self, vni=None):
        self.need_speaker()
        if vni is not None:
            self.network(vni)
        return {v: n.body() for v, n in self.networks.items() if vni in (None, v)}

    def del_network(self, vni):
        network = self.network(vni)
        for mac, c in list(network.clients.items()):
            if c["next_hop"] == self.router_id:
                self.del_client(vni, mac)
        self.speaker.evpn_prefix_del(
            route_type=EVPN_MULTICAST_ETAG_ROUTE, route_dist=network.route_dist,
            ethernet_tag_id=vni, ip_addr=self.router_id)
        self.speaker.vrf_del(route_dist=network.route_dist)
        self.ports = {p for p in self.ports if p[1] != vni}
        del self.networks[vni]
        network.remove()
        return {vni: network.body()}

    def add_client(self, vni, port, mac, ip):
        network = self.network(vni)
        if mac in network.clients:
            raise Refused(409, "there is client %s" % mac)
        network.add_local(port, mac, ip, self.router_id)
        self.speaker.evpn_prefix_add(
            route_type=EVPN_MAC_IP_ADV_ROUTE, route_dist=network.route_dist, esi=0,
            ethernet_tag_id=0, mac_addr=mac, ip_addr=ip, vni=vni, next_hop=self.router_id,
            tunnel_type="vxlan")
        return {vni: {"EvpnClient": network.clients[mac]}}

    def del_client(self, vni, mac):
        network = self.network(vni)
        client = network.clients.get(mac)
        if client is None or client["next_hop"] != self.router_id:
            raise Refused(404, "No such client: %s" % mac)
        self.speaker.evpn_prefix_del(
            route_type=EVPN_MAC_IP_ADV_ROUTE, route_dist=network.route_dist, esi=0,
            ethernet_tag_id=0, mac_addr=mac, ip_addr=client["ip"])
        network.del_local(mac)
        return {vni: {"EvpnClient": client}}


def dispatch(vtep, method, path, body):
    """Answers one request."""
    parts = path.strip("/").split("/")
    try:
        if parts[0] != "vtep":
            raise KeyError(path)
        ids = parts[2::2]
        if parts[1] in ("networks",) and ids:
            ids[0] = int(ids[0], 0)
        do = {
            ("POST", "speakers"): vtep.add_speaker, ("GET", "speakers"): vtep.get_speaker,
            ("DELETE", "speakers"): vtep.del_speaker,
            ("POST", "neighbors"): vtep.add_neighbor, ("GET", "neighbors"): vtep.get_neighbors,
            ("DELETE", "neighbors"): vtep.del_neighbor,
            ("POST", "networks"): vtep.add_network, ("GET", "networks"): vtep.get_networks,
            ("DELETE", "networks"): vtep.del_network,
            ("POST", "networks/clients"): vtep.add_client,
            ("DELETE", "networks/clients"): vtep.del_client,
        }[method, "/".join(parts[1::2])]
    except (KeyError, IndexError):
        raise Refused(404, "there is nothing to %s at %s" % (method, path)) from None
    return do(*ids, **body)


class Application:
    """A WSGI application that answers in JSON."""

    def __init__(self):
        self.vtep = Vtep()

    def __call__(self, environ, start_response):
        try:
            text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = dispatch(self.vtep, environ["REQUEST_METHOD"], environ["PATH_INFO"], json.loads(text or "{}"))
            status = 200
        except (ValueError, TypeError) as e:  # JSON, numbers, fields that lack or are too many
            status, body = 400, {"error": str(e), "status": 400}
        except Refused as e:
            status, body = e.status, {"error": str(e), "status": e.status}
        start_response("%d %s" % (status, HTTPStatus(status).phrase), [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]


def main():
    hub.patch(thread=False)  # thread=True would patch nothing else
    host, port = sys.argv[1].rsplit(":", 1)
    server = hub.WSGIServer((host, int(port)), Application())
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
