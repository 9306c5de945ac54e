package ruleset

import (
	"fmt"
	"strings"
	"time"
)

// Object is a named object of the generation's inet table that rules refer to.
// Make one with the functions below.
type Object struct {
	Kind string // in nft's words: counter, quota, ct helper, ct timeout, flowtable
	Name string
	Pos  Pos
	body string
	use  string // the statement that refers to it
}

// NewCounter counts the packets and bytes of all rules that use it, together.
func NewCounter(name string, pos Pos) *Object {
	return &Object{Kind: "counter", Name: name, Pos: pos, use: "counter name " + quote(name)}
}

// NewQuota matches as Quota does, for all rules that use it together.
func NewQuota(name string, q Quota, pos Pos) *Object {
	return &Object{Kind: "quota", Name: name, Pos: pos, body: q.String() + ";", use: "quota name " + quote(name)}
}

// NewHelper has the kernel's connection tracking follow a protocol that opens
// further connections: typ is the kernel's name, proto tcp or udp.
func NewHelper(name, typ, proto string, pos Pos) *Object {
	return &Object{Kind: "ct helper", Name: name, Pos: pos, body: fmt.Sprintf("type %s protocol %s;", quote(typ), proto), use: "ct helper set " + quote(name)}
}

// NewFlowtable lets forwarded connections bypass the rules once they are
// established, between the devices.
func NewFlowtable(name string, devices []string, offload bool, pos Pos) *Object {
	quoted := make([]string, len(devices))
	for i, d := range devices {
		quoted[i] = quote(d)
	}
	body := fmt.Sprintf("hook ingress priority filter; devices = { %s };", strings.Join(quoted, ", "))
	if offload {
		body += " flags offload;"
	}
	return &Object{Kind: "flowtable", Name: name, Pos: pos, body: body, use: "flow add @" + name}
}

func (o *Object) declaration() string { return fmt.Sprintf("%s %s { %s }", o.Kind, o.Name, o.body) }

// Use refers to an object.
type Use struct{ Object *Object }

func (Use) item()                     {}
func (u Use) do(*Rule, family) string { return u.Object.use }
func (Use) ends() bool                { return false }
func (Use) split() bool               { return false }
func (Use) serves(family) bool        { return true }

// Budget matches as a named quota does.
type Budget struct{ Quota *Object }

func (Budget) split() bool             { return false }
func (b Budget) exprs(family) []string { return []string{b.Quota.use} }

// Add puts a packet's source or destination into a set that packets fill, or
// prolongs its stay there.
type Add struct {
	Set     *Set
	By      Key           // KeySrc or KeyDst
	Timeout time.Duration // 0 means the set's own
}

func (Add) item()              {}
func (Add) ends() bool         { return false }
func (Add) split() bool        { return true }
func (Add) serves(family) bool { return true }

func (a Add) do(_ *Rule, f family) string {
	timeout := ""
	if a.Timeout > 0 {
		timeout = " timeout " + milliseconds(a.Timeout)
	}
	return fmt.Sprintf("update @%s%s { %s%s }", a.Set.Name, f.digit(), a.By.selector(f, ""), timeout)
}

func (v *validator) checkObject(o *Object) {
	v.name(o.Pos, o.Kind, o.Name)
	v.kernelName(o.Pos, o.Kind, o.Name, o.Name)
}

// usable complains about what only the inet table has.
func (v *validator) usable(c *Chain, r *Rule, what, name string) {
	if c.family() != Inet {
		v.errorf(r.Pos, "rule %q: %s %q is there for inet chains only, and %q is a %s chain", r.Name, what, name, c.Name, c.family())
	}
}
