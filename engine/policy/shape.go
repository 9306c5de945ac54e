package policy

import (
	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// moduleShape is what is known of require "moonlatch" before anything runs.
func moduleShape() *sandbox.Shape {
	fw := shape("fw", moduleMembers())
	for name, members := range map[string][]member{"log": logMembers(), "fact": factMembers(), "metric": metricMembers(), "probe": probeMembers()} {
		fw.Members[name] = shape("fw."+name, members)
	}
	fw.Members["on"] = &sandbox.Shape{Handler: eventShape()}
	fw.Members["detect"] = &sandbox.Shape{Returns: &sandbox.Shape{Handler: hitShape()}}
	return fw
}

func shape(path string, members []member) *sandbox.Shape {
	return &sandbox.Shape{
		Members: without(names(members)),
		Unknown: func(name string) string { return unknownName(path, members, name) },
	}
}

func eventShape() *sandbox.Shape {
	return &sandbox.Shape{Members: without(eventNames()), Unknown: noEventField}
}

func hitShape() *sandbox.Shape {
	return &sandbox.Shape{Members: without(names(hitFields())), Unknown: noHitField}
}

// without are names of which no more is known.
func without(names []string) map[string]*sandbox.Shape {
	out := map[string]*sandbox.Shape{}
	for _, name := range names {
		out[name] = nil
	}
	return out
}

// misspelt reports the names that do not exist, also in functions that nobody has called, and returns what
// else ended the load: not the one of them that did.
func (l *loader) misspelt(err error) error {
	for _, e := range l.state.Misspelt() {
		l.report(ruleset.Pos{File: e.File, Line: e.Line}, "%s", e.Msg)
		if raised, ok := err.(*sandbox.Error); ok && raised.Error() == e.Error() {
			err = nil
		}
	}
	return err
}
