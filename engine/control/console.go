package control

import "context"

// ConsoleRequest asks the running policy's sandbox to evaluate something.
type ConsoleRequest struct {
	Session  string `json:"session"`            // names that it defines are kept for others of the same session
	Source   string `json:"source"`             // an expression or statements; with Complete, the line up to the cursor
	Write    bool   `json:"write,omitempty"`    // it may ban, unban, remember and so on
	Complete bool   `json:"complete,omitempty"` // evaluates nothing, and says how the line could go on
	By       string `json:"by,omitempty"`
}

// ConsoleResult is what became of it. An error of the policy's Lua is a result, too.
type ConsoleResult struct {
	APIVersion  string   `json:"apiVersion"`
	Generation  uint64   `json:"generation,omitempty"` // whose policy it was; 0 for one that is not in force
	Policy      string   `json:"policy"`
	Output      string   `json:"output,omitempty"` // what it printed
	Values      []any    `json:"values"`
	Texts       []string `json:"texts,omitempty"` // the values, for people
	Error       string   `json:"error,omitempty"`
	Traceback   string   `json:"traceback,omitempty"`
	Completions []string `json:"completions,omitempty"`
}

// Console implements Service.
func (c *Client) Console(ctx context.Context, req ConsoleRequest) (r ConsoleResult, err error) {
	err = c.call(ctx, "POST", "console", req, &r)
	return r, err
}
