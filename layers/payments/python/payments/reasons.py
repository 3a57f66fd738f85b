"""What the codes mean that fraud scoring gives as reasons, in words for operators. Payments keep the codes alone."""

_UNKNOWN = "A reason that this version of the platform does not know."

_WORDS = {
    "bin": "BIN",
    "card": "card",
    "country": "country",
    "customer": "customer",
    "device": "device",
    "email": "e-mail address",
    "ip": "IP address",
    "merchant": "merchant",
}
"""What lists and limits are about."""

TEXTS = {
    "amount": "The amount is one that frauds often have.",
    "amount_limit": "The amount is above a limit.",
    "amount_unusual_for_card": "The amount is unusual for this card.",
    "amount_unusual_for_customer": "The amount is unusual for this customer.",
    "amount_unusual_for_merchant": "The amount is unusual for this merchant.",
    "card_country": "The country is new to the card, or the card was in another country just before.",
    "card_fraud": "Frauds on this card were confirmed.",
    "card_history": "What is known of this card's past, or that there is none.",
    "card_new_at_merchant": "The card does not usually pay at this merchant.",
    "card_new_for_customer": "The customer never used this card before.",
    "card_new_on_device": "The card was never used on this device before.",
    "card_testing": "It looks like the trying of stolen cards.",
    "card_unusual_amounts": "The card was charged unusual amounts lately.",
    "card_velocity": "The card was used often, or for much, within a short time.",
    "country_mismatch": "The IP address is of another country than the billing address.",
    "customer_fraud": "Frauds of this customer were confirmed.",
    "customer_history": "What is known of this customer's past, or that there is none.",
    "customer_velocity": "The customer paid often, or much, within a short time.",
    "device_fraud": "Frauds from this device were confirmed.",
    "device_history": "What is known of this device's past, or that there is none.",
    "device_new_for_customer": "The customer never used this device before.",
    "device_velocity": "Many charges came from this device within a short time.",
    "email_fraud": "Frauds with this e-mail address were confirmed.",
    "email_new_for_customer": "The customer never gave this e-mail address before.",
    "email_velocity": "Many charges came with this e-mail address within a short time.",
    "ip_fraud": "Frauds from this IP address were confirmed.",
    "ip_velocity": "Many charges came from this IP address within a short time.",
    "lists_unavailable": "Lists and rules were not available, or not all of them.",
    "many_cards_on_device": "Many different cards were used on this device.",
    "many_cards_on_ip": "Many different cards were used from this IP address.",
    "many_cards_with_email": "Many different cards were used with this e-mail address.",
    "merchant_fraud": "Frauds at this merchant were confirmed lately.",
    "merchant_velocity": "How many charges the merchant had within a day.",
    "model_score": "The model finds the charge suspicious as a whole; nothing stands out.",
    "model_unavailable": "The model was not available: only rules were applied.",
    "profiles_unavailable": "What is known of card, customer and device was not available: only rules were applied.",
    "scoring_unavailable": "Fraud scoring was not available: nothing was checked.",
    "unusual_time": "The hour or the day of the week is one that frauds often have.",
    **{f"{per}_attempts_limit": f"Attempts of this {word} are above a limit." for per, word in _WORDS.items()},
    **{f"{per}_spending_limit": f"What this {word} paid is above a limit." for per, word in _WORDS.items()},
    **{
        f"{kind}_on_{action}_list": f"The {word} is on a list of those to {action}."
        for kind, word in _WORDS.items()
        for action in ("allow", "review", "block")
    },
}


def told(code: str) -> dict[str, str]:
    """A reason as operators see it: its code and what it means."""
    return {"code": code, "text": TEXTS.get(code, _UNKNOWN)}
