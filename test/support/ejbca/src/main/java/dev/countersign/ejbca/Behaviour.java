package dev.countersign.ejbca;

import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** What the server does with the requests that follow, as the control port was told. */
public final class Behaviour {
  private final Map<String, String> settings;
  private final AtomicInteger left;

  public Behaviour(Map<String, String> settings) {
    this.settings = settings;
    this.left = new AtomicInteger(number("times", Integer.MAX_VALUE));
  }

  public String text(String name) {
    return settings.getOrDefault(name, "");
  }

  public int number(String name, int otherwise) {
    String text = text(name);
    return text.isEmpty() ? otherwise : Integer.parseInt(text);
  }

  /** Whether it has this kind, and has not been shown as often as it was to be. */
  public boolean takes(String kind) {
    return text("kind").equals(kind) && left.getAndDecrement() > 0;
  }

  public boolean is(String kind) {
    return text("kind").equals(kind);
  }
}
