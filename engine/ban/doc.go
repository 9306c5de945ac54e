// Package ban keeps the ban book: who is banned, until when and why. It owns the
// core table, inet moonlatch, in which the kernel holds all of that.
//
// The kernel is the truth. Each ban is a set element with a timeout and a comment
// that names its reason, so bans outlive every process and end without any; a
// Book only remembers enough of it to recognise duplicates and to count.
//
// # Overlapping bans
//
// An address is banned until the last of the bans that cover it ends. A ban that
// would not change that is a duplicate and refused as such. The kernel takes no
// overlapping prefixes into one set: where bans of prefixes overlap, the one that lasts longer
// has the addresses they share, and the other one is stored as the prefixes that
// are left of it. When the longer one is lifted, the other one gets them back.
//
// # Protected addresses
//
// Protected addresses pass before any ban is looked at. A ban that would cover
// one is refused, and protecting an address lifts the bans that cover it.
package ban
