# BMv2 as the P4 project publishes it, started for p4evpn.
FROM p4lang/behavioral-model:latest
COPY bmv2-testbed/bmv2.sh /usr/local/bin/bmv2.sh
ENTRYPOINT ["/usr/local/bin/bmv2.sh"]
