package control

import "context"

// LogLevel is how much the daemon logs: debug, info, warn or error. In a request, "" leaves it as it is.
type LogLevel struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Level      string `json:"level"`
}

// LogLevel implements Service.
func (c *Client) LogLevel(ctx context.Context, req LogLevel) (l LogLevel, err error) {
	err = c.call(ctx, "POST", "log-level", req, &l)
	return l, err
}
