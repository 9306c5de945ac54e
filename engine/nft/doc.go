// Package nft is the only door to nf_tables: it loads rulesets through the nft command, and reads and changes
// elements, counters and tables over netlink.
//
// It speaks netlink itself, over github.com/mdlayher/netlink sockets. Elements are encoded straight into the
// one buffer that the kernel takes, so that restoring a million bans costs tens of megabytes, not hundreds.
package nft
