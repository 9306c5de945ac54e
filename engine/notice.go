package engine

import (
	"slices"

	"moonlatch/engine/feed"
	"moonlatch/engine/policy"
)

// SetTargets names the targets of notifications that a policy can tell. To be called before Run.
func (d *Daemon) SetTargets(names []string) { d.targets = names }

// notify is what fw.notify of the policies does.
func (d *Daemon) notify(n policy.Notice) error {
	if !slices.Contains(d.targets, n.To) {
		return policy.UnknownTarget(n.To, d.targets)
	}
	told := &feed.Notice{To: n.To, By: n.By, Title: n.Title, Text: n.Text}
	for _, f := range n.Fields {
		told.Fields = append(told.Fields, feed.Field(f))
	}
	d.tell(feed.Item{Kind: feed.KindNotice, Notice: told})
	return nil
}

// checkTargets refuses a policy that names a target which the daemon does not
// know. A daemon that knows none tells nobody anything, and says so: that is
// no mistake of the policy's.
func (d *Daemon) checkTargets(p *policy.Policy) (warning string, err error) {
	if err = p.UnknownTargets(d.targets); err == nil {
		return "", nil
	}
	if len(d.targets) > 0 {
		return "", badPolicy(err)
	}
	d.log.Warn("the policy notifies, and nobody is told", "policy", p.Ruleset().Policy, "error", err)
	return err.Error(), nil
}
