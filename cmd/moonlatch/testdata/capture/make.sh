# Made by real programs, as root: unshare -nm sh make.sh
# tcpdump 4.99, nmap 7.93; the policy is that of replay_test.go.
ip link add a0 type veth peer name b0
unshare -n sleep 20 & P=$!
sleep 0.5
ip link set b0 netns $P
sysctl -qw net.ipv6.conf.a0.disable_ipv6=1
ip addr add 198.51.100.1/24 dev a0; ip link set a0 up; ip link set lo up
nsenter -t $P -n sh -c 'ip addr add 198.51.100.9/24 dev b0; ip link set b0 up'
moonlatch --state st --socket s.sock apply web.lua
moonlatch --state st --socket s.sock confirm
tcpdump -s 96 -Z root -i a0 -U -w scan.pcap & T=$!
tcpdump -s 96 -Z root -i any -U -w any.pcap & T2=$!
tcpdump -Z root -i nflog:71 -U -w nflog.pcap & T3=$!
sleep 1
nsenter -t $P -n nmap -n -Pn -sS -p1-30 --max-rate 100 198.51.100.1
sleep 1
kill $T $T2 $T3; sleep 0.3; kill $P
