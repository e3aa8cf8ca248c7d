package bmv2

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
)

// Client is simple_switch_CLI, BMv2's own command-line client.
type Client struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

const prompt = "RuntimeCmd: "

// Client connects simple_switch_CLI to the switch, until Close.
func (s *Switch) Client(ctx context.Context) (*Client, error) {
	_, port, err := net.SplitHostPort(s.Thrift)
	if err != nil {
		return nil, err
	}
	c := &Client{cmd: exec.CommandContext(ctx, "simple_switch_CLI", "--thrift-port", port)}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	c.cmd.Stderr = c.cmd.Stdout
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("simple_switch_CLI: %w", err)
	}
	if text, err := c.answer(); err != nil {
		c.Close()
		return nil, fmt.Errorf("simple_switch_CLI: %w: %s", err, text)
	}
	return c, nil
}

// Do runs one command and returns what it printed.
func (c *Client) Do(command string) (string, error) {
	if _, err := io.WriteString(c.in, command+"\n"); err != nil {
		return "", fmt.Errorf("simple_switch_CLI: %w", err)
	}
	text, err := c.answer()
	if err != nil {
		return text, fmt.Errorf("simple_switch_CLI: %s: %w", command, err)
	}
	return text, nil
}

// answer reads up to the next prompt.
func (c *Client) answer() (string, error) {
	var text []byte
	for {
		b, err := c.out.ReadByte()
		if err != nil {
			return string(text), err
		}
		text = append(text, b)
		if bytes.HasSuffix(text, []byte(prompt)) {
			return strings.TrimSpace(string(text[:len(text)-len(prompt)])), nil
		}
	}
}

// Close ends the client.
func (c *Client) Close() error {
	c.in.Close()
	_, _ = io.Copy(io.Discard, c.out)
	return c.cmd.Wait()
}
