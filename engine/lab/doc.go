// Package lab tries rules on real packets: in a private network namespace it
// injects frames on virtual cables, and reads from the kernel's own trace which
// rules each of them met and what became of it.
//
// A lab's host has the addresses [Host4] and [Host6] and whatever [Lab.AddAddress] gives
// it, an interface of every name that a packet comes in by, and nothing that
// listens or answers. What is for another address is forwarded, by [Outside] unless
// the packet says otherwise.
package lab
