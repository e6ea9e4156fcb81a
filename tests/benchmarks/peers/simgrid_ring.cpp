// SimGrid runs a ring all-reduce on a star, every message: simgrid_ring RANKS BYTES BANDWIDTH.
// Prints JSON with its version, CPU seconds and when each rank was through. Build: g++ -O2 ... -lsimgrid
#include <simgrid/s4u.hpp>
#include <simgrid/version.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace sg4 = simgrid::s4u;

static std::vector<double> ends;

static double cpu()
{
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

// A step starts when the own message of the step before was sent and that of the neighbour has come.
static void rank(int number, int ranks, int steps, double bytes)
{
  auto* mine = sg4::Mailbox::by_name("m" + std::to_string(number));
  auto* next = sg4::Mailbox::by_name("m" + std::to_string((number + 1) % ranks));
  static char nothing;
  char* got;
  for (int step = 0; step < steps; ++step) {
    auto arrives = mine->get_async<char>(&got);
    auto leaves = next->put_async(&nothing, static_cast<uint64_t>(bytes));
    leaves->wait();
    arrives->wait();
  }
  ends[number] = sg4::Engine::get_clock();
}

int main(int argc, char** argv)
{
  sg4::Engine engine(&argc, argv);
  const int ranks = std::atoi(argv[1]);
  const double bytes = std::atof(argv[2]), bandwidth = std::atof(argv[3]);
#if SIMGRID_VERSION_MAJOR >= 4
  auto* zone = engine.get_netzone_root()->add_netzone_full("world");
#else
  auto* zone = sg4::create_full_zone("world");
#endif
  std::vector<sg4::Host*> hosts;
  std::vector<const sg4::Link*> up, down;
  for (int h = 0; h < ranks; ++h) {
    const auto name = std::to_string(h);
#if SIMGRID_VERSION_MAJOR >= 4
    hosts.push_back(zone->add_host("h" + name, 1e9)->seal());
    up.push_back(zone->add_link("u" + name, bandwidth)->set_latency(0)->seal());
    down.push_back(zone->add_link("d" + name, bandwidth)->set_latency(0)->seal());
#else
    hosts.push_back(zone->create_host("h" + name, 1e9)->seal());
    up.push_back(zone->create_link("u" + name, bandwidth)->set_latency(0)->seal());
    down.push_back(zone->create_link("d" + name, bandwidth)->set_latency(0)->seal());
#endif
  }
  for (int h = 0; h < ranks; ++h) {
    const int to = (h + 1) % ranks;
    const std::vector<sg4::LinkInRoute> way{sg4::LinkInRoute(up[h]), sg4::LinkInRoute(down[to])};
#if SIMGRID_VERSION_MAJOR >= 4
    zone->add_route(hosts[h], hosts[to], way, false);
#else
    zone->add_route(hosts[h]->get_netpoint(), hosts[to]->get_netpoint(), nullptr, nullptr, way, false);
#endif
  }
  zone->seal();
  ends.resize(ranks);
  double begun = 0, seconds = 0;
  for (int steps : {2, 2 * (ranks - 1)}) { // the first is to warm up
    begun = sg4::Engine::get_clock();
    const double before = cpu();
    for (int h = 0; h < ranks; ++h)
#if SIMGRID_VERSION_MAJOR >= 4
      hosts[h]->add_actor("r" + std::to_string(h), rank, h, ranks, steps, bytes);
#else
      sg4::Actor::create("r" + std::to_string(h), hosts[h], rank, h, ranks, steps, bytes);
#endif
    engine.run();
    seconds = cpu() - before;
  }
  std::printf("{\"version\": \"%d.%d\", \"seconds\": %.9g, \"finish\": [", SIMGRID_VERSION_MAJOR,
              SIMGRID_VERSION_MINOR, seconds);
  for (int h = 0; h < ranks; ++h)
    std::printf("%s%.17g", h ? ", " : "", ends[h] - begun);
  std::printf("]}\n");
  return 0;
}
