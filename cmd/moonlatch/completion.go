package main

import (
	"net"
	"strings"

	"github.com/spf13/cobra"
)

// addCompletions has the shell complete what commands did not say of themselves: policies
// where they take one, files of other kinds, and nothing where they take neither.
func addCompletions(root *cobra.Command) {
	root.RegisterFlagCompletionFunc("output", completeWords([]string{"text", "json"}))
	root.MarkPersistentFlagDirname("state")
	for _, c := range root.Commands() {
		if c.ValidArgsFunction == nil {
			c.ValidArgsFunction = completeArguments(c.Use)
		}
		for name, complete := range map[string]cobra.CompletionFunc{"policy": completePolicies, "against": completePolicies, "iif": completeInterfaces, "oif": completeInterfaces} {
			if _, taken := c.GetFlagCompletionFunc(name); c.Flags().Lookup(name) != nil && !taken {
				c.RegisterFlagCompletionFunc(name, complete)
			}
		}
	}
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
