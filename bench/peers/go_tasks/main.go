// The peer Go, its primitives: `go_tasks MODE N` with the modes of tasks.c, on one P.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const batch = 1000

func yield(n int) {
	var done sync.WaitGroup
	done.Add(2)
	for t := 0; t < 2; t++ {
		go func() {
			defer done.Done()
			for i := 0; i < n/2; i++ {
				runtime.Gosched()
			}
		}()
	}
	done.Wait()
}

//go:noinline
func nothing(value int) int { return value }

// One at a time: a goroutine sends its result over a channel that is used again.
func spawn(n int) {
	result := make(chan int)
	for i := 0; i < n; i++ {
		go func() { result <- nothing(i) }()
		if <-result != i {
			panic("wrong result")
		}
	}
}

// Many at once: each writes its result into a slice, a WaitGroup tells when all have.
func spawn1000(n int) {
	var results [batch]int
	var done sync.WaitGroup
	for made := 0; made < n; made += batch {
		done.Add(batch)
		for i := 0; i < batch; i++ {
			i := i
			go func() {
				results[i] = nothing(i)
				done.Done()
			}()
		}
		done.Wait()
		for i := 0; i < batch; i++ {
			if results[i] != i {
				panic("wrong result")
			}
		}
	}
}

func main() {
	modes := map[string]func(int){"yield": yield, "spawn": spawn, "spawn1000": spawn1000}
	if len(os.Args) != 3 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go_tasks yield|spawn|spawn1000 N")
		os.Exit(2)
	}
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	work := modes[os.Args[1]]
	work(10 * batch)
	input := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	input.ReadString('\n')
	start := time.Now()
	work(n)
	fmt.Printf("done %d ns=%.2f\n", n, float64(time.Since(start).Nanoseconds())/float64(n))
	input.ReadString('\n')
}
