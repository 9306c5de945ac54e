package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
	"moonlatch/engine/demo"
	"moonlatch/scripts"
)

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See it work: a scan cut off, a lock-out undone by the kernel alone",
		Long: `Demo plays a server, an attacker and an administrator in private network namespaces, in
some fifteen seconds: a port scan is cut off, then a policy locks everybody out,
Moonlatch is killed, and the kernel lets the administrator in again. It measures
what it shows and says whether each promise held. It needs no root and touches
nothing of this machine.`,
		Example: `  moonlatch demo`,
		RunE: func(c *cobra.Command, _ []string) error {
			report, err := demo.Run(c.Context(), a.out, a.err, demoInside, "--output", a.output)
			if err != nil {
				return err
			}
			if a.output == "json" {
				if err := a.print(report, nil); err != nil {
					return err
				}
			}
			return broken(report)
		},
	}
}

// broken is an error that names the promises that did not hold.
func broken(r demo.Report) error {
	var texts []string
	for _, p := range r.Promises {
		if !p.Held {
			texts = append(texts, fmt.Sprintf("%s (%s)", p.Text, p.Measured))
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return &control.Error{Code: control.Failed, Message: "not every promise held: " + strings.Join(texts, "; ")}
}

// demoInside is what demo runs in the private namespace.
const demoInside = "demo-inside"

func (a *app) demoInsideCommand() *cobra.Command {
	return &cobra.Command{
		Use:    demoInside + " FOLDER",
		Hidden: true,
		Short:  "Play the demo (used by demo, in a private namespace)",
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			screen := a.out
			if a.output == "json" {
				screen = nil
			}
			return demo.Inside(c.Context(), args[0], scripts.Policies(), screen)
		},
	}
}
