package main

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
)

// addCompletions has the shell complete what commands did not say of themselves: policies
// where they take one, files of other kinds, and nothing where they take neither.
func (a *app) addCompletions(root *cobra.Command) {
	flags := a.flagCompletions()
	root.RegisterFlagCompletionFunc("output", completeWords([]string{"text", "json"}))
	root.MarkPersistentFlagDirname("state")
	for _, c := range root.Commands() {
		if c.ValidArgsFunction == nil {
			c.ValidArgsFunction = completeArguments(c.Use)
		}
		for name, complete := range flags {
			if _, taken := c.GetFlagCompletionFunc(name); c.Flags().Lookup(name) != nil && !taken {
				c.RegisterFlagCompletionFunc(name, complete)
			}
		}
	}
}

// flagCompletions are those of the flags that mean the same wherever they are.
func (a *app) flagCompletions() map[string]cobra.CompletionFunc {
	return map[string]cobra.CompletionFunc{
		"policy": completePolicies, "against": completePolicies, "iif": completeInterfaces, "oif": completeInterfaces,
		"stream": a.completeNames("streams"), "logged": a.completeNames("streams"), "by": a.completeNames("detectors", string(ban.Manual)),
		"format": completeWords([]string{"plain", "tap", "junit"}),
	}
}

// completeNames offers what the running policy has by a name of the console's, and more; nothing where no daemon answers.
func (a *app) completeNames(table string, more ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionTime)
		defer cancel()
		client, err := control.Dial(ctx, a.socket)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		r, err := client.Console(ctx, control.ConsoleRequest{Session: "completion", Source: table})
		if err != nil || len(r.Values) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Concat(more, namesOf(r.Values[0])), cobra.ShellCompDirectiveNoFileComp
	}
}

// namesOf are the names in a list, or of a table's fields.
func namesOf(v any) (out []string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if name, ok := item.(string); ok {
				out = append(out, name)
			}
		}
	case map[string]any:
		out = slices.Sorted(maps.Keys(v))
	}
	return out
}

// completeArguments goes by what a command's usage calls its arguments.
func completeArguments(use string) cobra.CompletionFunc {
	switch name := strings.Trim(use[strings.IndexByte(use, ' ')+1:], "[]"); {
	case strings.Contains(use, "COMMAND"), strings.Contains(use, "CAPTURE"):
		return nil // any file
	case name == "POLICY", strings.HasPrefix(use, "init "), strings.HasPrefix(use, "console "), strings.HasPrefix(use, "test"):
		return completePolicies
	}
	return cobra.NoFileCompletions
}

func completePolicies(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"lua"}, cobra.ShellCompDirectiveFilterFileExt
}

func completeInterfaces(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
