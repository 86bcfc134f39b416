// Package program is what the Go programs share: options, lines and the end of stdin. See
// ../../README.md.
package program

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Start says where consuming starts: at the earliest record, an offset or a time.
type Start struct {
	Earliest  bool
	Offset    *int64 `json:"offset"`
	Timestamp *int64 `json:"timestamp"`
}

// UnmarshalJSON takes "earliest" or an object.
func (start *Start) UnmarshalJSON(text []byte) error {
	if string(text) == `"earliest"` {
		start.Earliest = true
		return nil
	}
	type object Start
	return json.Unmarshal(text, (*object)(start))
}

// Options are the union of what the commands take.
type Options struct {
	Bootstrap        string  `json:"bootstrap"`
	Topic            string  `json:"topic"`
	Idempotent       bool    `json:"idempotent"`
	Partitions       []int32 `json:"partitions"`
	Start            Start   `json:"start"`
	Count            int     `json:"count"`
	TimeoutMs        int     `json:"timeoutMs"`
	Group            string  `json:"group"`
	Protocol         string  `json:"protocol"`
	Instance         string  `json:"instance"`
	SessionTimeoutMs int     `json:"sessionTimeoutMs"`
	HeartbeatMs      int     `json:"heartbeatMs"`
	HandleMs         int     `json:"handleMs"`
	CommitEvery      int     `json:"commitEvery"`
}

// Header is a pair of a name and a value, which may be null.
type Header struct {
	Name  string
	Value []byte
}

// UnmarshalJSON takes a pair.
func (header *Header) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&header.Name, &header.Value})
}

// MarshalJSON gives a pair.
func (header Header) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{header.Name, header.Value})
}

// Record is one to produce.
type Record struct {
	Codec     string   `json:"codec"`
	Partition int32    `json:"partition"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Timestamp *int64   `json:"timestamp"`
	Headers   []Header `json:"headers"`
}

// Consumed is one that was read.
type Consumed struct {
	Partition     int32    `json:"partition"`
	Offset        int64    `json:"offset"`
	Timestamp     int64    `json:"timestamp"`
	TimestampType int      `json:"timestampType"`
	Key           []byte   `json:"key"`
	Value         []byte   `json:"value"`
	Headers       []Header `json:"headers"`
}

// Command is one for the admin client.
type Command struct {
	Do           string            `json:"do"`
	Name         string            `json:"name"`
	Partitions   int32             `json:"partitions"`
	Configs      map[string]string `json:"configs"`
	ValidateOnly bool              `json:"validateOnly"`
	Count        int32             `json:"count"`
	Set          map[string]string `json:"set"`
	Remove       []string          `json:"remove"`
	Partition    int32             `json:"partition"`
	Offset       int64             `json:"offset"`
	At           json.RawMessage   `json:"at"`
	Group        string            `json:"group"`
	Offsets      map[int32]int64   `json:"offsets"`
}

// Answer is what an admin command is answered with.
type Answer map[string]any

var output sync.Mutex

// Write writes one line at once: whoever reads waits for it.
func Write(line any) {
	text, err := json.Marshal(line)
	Check(err)
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

// Check ends the program for an error that no scenario expects.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Read calls a function with each line of stdin.
func Read[Line any](take func(Line)) {
	lines := bufio.NewReader(os.Stdin)
	for {
		text, err := lines.ReadBytes('\n')
		if err == io.EOF && len(text) == 0 {
			return
		}
		if err != io.EOF {
			Check(err)
		}
		var line Line
		Check(json.Unmarshal(text, &line))
		take(line)
	}
}

// EndOfInput is closed when stdin ends.
func EndOfInput() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	return ended
}

// Milliseconds is a duration.
func Milliseconds(count int) time.Duration {
	return time.Duration(count) * time.Millisecond
}

// AnswerCommands answers each line of stdin. errorCode gives the number of an error, or ends the
// program.
func AnswerCommands(
	commands map[string]func(Command) (Answer, error), errorCode func(error) int16,
) {
	Read(func(command Command) {
		call, known := commands[command.Do]
		if !known {
			Write(Answer{"unsupported": true})
			return
		}
		answer, err := call(command)
		if err != nil {
			Write(Answer{"error": errorCode(err)})
			return
		}
		if answer == nil {
			answer = Answer{}
		}
		answer["error"] = 0
		Write(answer)
	})
}

// Run runs what the command line names.
func Run(commands map[string]func(Options)) {
	var options Options
	Check(json.Unmarshal([]byte(os.Args[2]), &options))
	commands[os.Args[1]](options)
}
