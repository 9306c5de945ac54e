// Package policytest runs the tests that authors write for their policies: Lua
// files that require "moonlatch.test" and send packets through the policy in a
// [moonlatch/engine/lab].
package policytest
