/* Two lines, one cashier: concurrency. Two queues of customers are served by one loop, in one thread.
 *
 * Who pays by card waits for the bank, and the cashier serves the other queue meanwhile: waiting overlaps. Who pays in
 * coins has the cashier count them, and nobody else is served until that is done: computing does not overlap.
 */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdbool.h>
#include <stdio.h>

enum { QUEUES = 2, CUSTOMERS = 3, COINS = 10 * 1000 * 1000 };

/* What one way of paying took, on the loop's clock. */
struct figures {
    int at_once, at_most;               /* customers that are paying now, and at most */
    double together;                    /* the times that each of them took, added up */
    unsigned long coins;
};

static double now(void)
{
    return even_time(even_running_loop());
}

static double begin(struct figures *f)
{
    if (++f->at_once > f->at_most)
        f->at_most = f->at_once;
    return now();
}

static void end(struct figures *f, double begun)
{
    f->at_once--;
    f->together += now() - begun;
}

async(int, pay_by_card, (struct figures *, f))
{
    double begun = begin(f);
    int rc = await(even_sleep(0.2));    /* the bank answers: the loop is free for others */
    end(f, begun);
    return rc;
}

async(int, pay_in_coins, (struct figures *, f))
{
    double begun = begin(f);
    for (volatile int coin = 0; coin < COINS; coin++)   /* no await in here: the loop is held */
        f->coins++;
    end(f, begun);
    return await(even_sleep(0));        /* next, please: whoever is first in the other queue */
}

async(int, card_queue, (struct figures *, f))
{
    for (int i = 0; i < CUSTOMERS; i++)
        try_await(pay_by_card(f));
    return 0;
}

async(int, coin_queue, (struct figures *, f))
{
    for (int i = 0; i < CUSTOMERS; i++)
        try_await(pay_in_coins(f));
    return 0;
}

async(int, open_the_shop)
{
    struct figures cards = { 0 }, coins = { 0 };
    bool is_sim = even_loop_properties(even_running_loop()) & EVEN_LOOP_VIRTUAL_TIME;

    printf("%d queues of %d customers, one cashier\n", QUEUES, CUSTOMERS);

    double begun = now();
    try_await(gather(card_queue(&cards), card_queue(&cards)));
    printf("waiting:   %.1f s, added up, took %.1f s; at most %d customers at the same time\n", cards.together,
           now() - begun, cards.at_most);

    begun = now();
    try_await(gather(coin_queue(&coins), coin_queue(&coins)));
    printf("computing: %.2f s, added up, took %.2f s; at most %d customer at the same time, %lu coins%s\n",
           coins.together, now() - begun, coins.at_most, coins.coins,
           is_sim ? " (virtual time stands still meanwhile)" : "");
    return 0;
}

int main(void)
{
    return even_run(open_the_shop()) < 0;
}
