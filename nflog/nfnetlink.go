package nflog

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Message types and configuration of linux/netfilter/nfnetlink_log.h.
const (
	msgPacket = unix.NFNL_SUBSYS_ULOG << 8 // NFULNL_MSG_PACKET, which is 0
	msgConfig = msgPacket + 1              // NFULNL_MSG_CONFIG

	// enum nfulnl_attr_config
	cfgCmd       = 1 // NFULA_CFG_CMD, struct nfulnl_msg_config_cmd
	cfgMode      = 2 // NFULA_CFG_MODE, struct nfulnl_msg_config_mode
	cfgBufSize   = 3 // NFULA_CFG_NLBUFSIZ, __u32
	cfgTimeout   = 4 // NFULA_CFG_TIMEOUT, __u32 in 1/100 s
	cfgThreshold = 5 // NFULA_CFG_QTHRESH, __u32
	cfgFlags     = 6 // NFULA_CFG_FLAGS, __u16

	cmdBind    = 1 // NFULNL_CFG_CMD_BIND
	copyPacket = 2 // NFULNL_COPY_PACKET
	flagSeq    = 1 // NFULNL_CFG_F_SEQ
)

// Attributes of a packet message, enum nfulnl_attr_type of the same header. The
// kernel sends numbers in network byte order.
const (
	attrPacketHdr  = 1  // NFULA_PACKET_HDR, struct nfulnl_msg_packet_hdr
	attrMark       = 2  // NFULA_MARK, __u32
	attrTimestamp  = 3  // NFULA_TIMESTAMP, struct nfulnl_msg_packet_timestamp
	attrInDev      = 4  // NFULA_IFINDEX_INDEV, __u32
	attrOutDev     = 5  // NFULA_IFINDEX_OUTDEV, __u32
	attrPhysInDev  = 6  // NFULA_IFINDEX_PHYSINDEV, __u32
	attrPhysOutDev = 7  // NFULA_IFINDEX_PHYSOUTDEV, __u32
	attrHWAddr     = 8  // NFULA_HWADDR, struct nfulnl_msg_packet_hw
	attrPayload    = 9  // NFULA_PAYLOAD
	attrPrefix     = 10 // NFULA_PREFIX, string
	attrUID        = 11 // NFULA_UID, __u32
	attrSeq        = 12 // NFULA_SEQ, __u32
	attrGID        = 14 // NFULA_GID, __u32
	attrHWType     = 15 // NFULA_HWTYPE, __u16
	attrHWHeader   = 16 // NFULA_HWHEADER
	attrVLAN       = 20 // NFULA_VLAN, nested enum nfulnl_vlan_attr
	attrL2Header   = 21 // NFULA_L2HDR

	attrVLANProtocol = 1 // NFULA_VLAN_PROTO, __u16
	attrVLANTCI      = 2 // NFULA_VLAN_TCI, __u16
)

const (
	messageHeader   = 16 // struct nlmsghdr, linux/netlink.h
	nfgenmsgHeader  = 4  // struct nfgenmsg, linux/netfilter/nfnetlink.h
	requestHeader   = messageHeader + nfgenmsgHeader
	attributeHeader = 4 // struct nlattr, linux/netlink.h
	// attributeType leaves the nesting and byte order flags out (NLA_TYPE_MASK).
	attributeType = 0x3fff
)

// align rounds n up to the alignment of netlink messages and attributes,
// NLMSG_ALIGN and NLA_ALIGN of linux/netlink.h.
func align(n int) int { return (n + 3) &^ 3 }

// configMessage is a request about a group. The kernel carries it out before
// the system call that sends it returns, and answers only if it refuses.
func configMessage(kind, group uint16, attributes []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(requestHeader+len(attributes)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, messageHeader-len(b))...) // sequence number and port: the kernel needs neither
	b = append(b, unix.AF_UNSPEC, unix.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, group)
	return append(b, attributes...)
}

// bindAttributes binds a group with everything that cfg says, in one request, so
// that no packet is logged under other settings.
func bindAttributes(cfg Config) []byte {
	b := appendAttribute(nil, cfgCmd, []byte{cmdBind})
	b = appendAttribute(b, cfgMode, append(binary.BigEndian.AppendUint32(nil, cfg.CopyRange), copyPacket, 0))
	b = appendAttribute(b, cfgFlags, []byte{0, flagSeq})
	return cfg.tuning().append(b, cfg.CopyRange)
}

func appendAttribute(b []byte, kind uint16, value []byte) []byte {
	b = appendAttributeHeader(b, kind, len(value))
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

func appendUint32(b []byte, kind uint16, v uint32) []byte {
	return binary.BigEndian.AppendUint32(appendAttributeHeader(b, kind, 4), v)
}

func appendAttributeHeader(b []byte, kind uint16, size int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attributeHeader+size))
	return binary.NativeEndian.AppendUint16(b, kind)
}
